"""Crash: tells Prefect that a flow run whose process was killed is over. Prefect itself would show it as running for ever."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed


def mark_crashed(flow_run: str) -> None:
    """Marks a flow run as crashed; nothing happens where it has ended, or where the server does not know it."""
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(flow_run))
        except ObjectNotFound:
            return
        if run.state is not None and not run.state.is_final():
            client.set_flow_run_state(run.id, Crashed(message="The process was killed; the same command resumed the round."), force=True)
