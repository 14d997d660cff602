"""Campaign: rounds in sequence, each from what the one before left. A campaign that was cut off is completed by the same command."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from flows.bootstrap import bootstrap
from flows.plan import left, plan
from flows.round import run_round
from superalign import journal
from superalign.errors import GateError
from superalign.recipe import CampaignConfig
from tasks.crash import mark_crashed


@flow(name="campaign", flow_run_name="{config.round.recipe} x {config.rounds}")
def run_campaign(config: CampaignConfig) -> list[int]:
    """Runs or completes the rounds asked for, and round 0 first where there is none; their numbers.

    Args:
        config: The rounds.

    Raises:
        GateError: The data of a round was not fit to train on; the rounds after it are not begun.
        BusyError: Another round runs in this workspace.
    """
    base = journal.read(0)
    if base is None or base.open:
        bootstrap(config.round)
    with journal.lock(-1):
        planned = plan(config)
        _tidy()
        journal.set_campaign(planned.model_copy(update={"flow_run": str(flow_run.id)}))
        try:
            for number in left(planned):
                journal.tell(number)
                run_round(config.round, number)
        except GateError:
            journal.set_campaign(None)
            raise
        journal.set_campaign(None)
    return list(range(planned.first, planned.first + planned.rounds))


def _tidy() -> None:
    """What a killed process left as running in Prefect is not: this one holds the lock."""
    known = journal.campaign()
    left_over = [known.flow_run if known else None, *(record.flow_run for record in journal.rounds() if record.open)]
    for run in left_over:
        if run is not None:
            mark_crashed(run)
