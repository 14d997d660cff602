"""Schedule: campaigns by the clock, as deployments in Prefect that the worker of `superalign up` runs, one at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from pydantic import BaseModel, ConfigDict

from flows.campaign import run_campaign
from flows.servers import POOL
from superalign.config import nearest
from superalign.errors import ConfigError
from superalign.recipe import CampaignConfig


class Scheduled(BaseModel):
    """What runs by the clock."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    name: str
    """Name of the schedule: the recipe's."""
    cron: str
    """When."""
    timezone: str
    """Whose clock."""
    recipe: str
    """What."""
    rounds: int
    """How many rounds each time."""


def add(config: CampaignConfig, cron: str, timezone: str) -> None:
    """Schedules a campaign under its recipe's name; another schedule of that recipe gives way."""
    with get_client(sync_client=True) as client:
        _pool(client)
    try:
        schedule = Cron(cron, timezone=timezone)
    except ValueError as error:
        raise ConfigError(f"Prefect cannot run by --cron {cron!r} in {timezone}: {error}") from error
    deployment: Any = run_campaign.to_deployment(
        name=config.round.recipe,
        parameters={"config": config.model_dump(mode="json")},
        schedules=[schedule],
        concurrency_limit=1,
        work_pool_name=POOL,
        job_variables={"working_dir": str(Path.cwd()), "env": {"PREFECT_HOME": os.environ["PREFECT_HOME"]}},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()


def remove(name: str) -> None:
    """Takes a schedule away. ConfigError if there is none of that name."""
    with get_client(sync_client=True) as client:
        found = {deployment.name: deployment for deployment in _deployments(client)}
        if name not in found:
            raise ConfigError(f"nothing is scheduled as {name!r}{nearest(name, found)}")
        client.delete_deployment(found[name].id)


def listed() -> list[Scheduled]:
    """What is scheduled."""
    with get_client(sync_client=True) as client:
        return [_scheduled(deployment) for deployment in _deployments(client)]


def _scheduled(deployment: Any) -> Scheduled:
    when, config = deployment.schedules[0].schedule, deployment.parameters["config"]
    return Scheduled(
        name=deployment.name, cron=when.cron, timezone=when.timezone or "UTC", recipe=config["round"]["recipe"], rounds=config["rounds"]
    )


def _deployments(client: SyncPrefectClient) -> list[Any]:
    return [deployment for deployment in client.read_deployments() if deployment.work_pool_name == POOL and deployment.schedules]


def _pool(client: SyncPrefectClient) -> None:
    try:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    except ObjectAlreadyExists:
        return
