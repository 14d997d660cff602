"""MLflow's model registry: every version of learner and critic, where it comes from, and which one is champion.

Questions, and the move of the champion alias, go straight to MLflow's tables where the store is the workspace's SQLite file of a known
schema: they answer in milliseconds, while importing MLflow costs seconds, and several aliases move in one transaction, which MLflow's
own interface does not offer. Anything else, and all that makes versions, goes through MLflow's client.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from superalign import journal
from superalign.artifacts import md5_of
from superalign.errors import DataError, LedgerError, PolicyError
from superalign.policy import STORE, Base, Policy, Role, folder_md5
from tasks import store

CHAMPION = "champion"
CANDIDATE = "candidate"
DIGITS = 9
"""Digits a version's number may have."""
HASHED = 512 * 2**20
"""Bytes of weights whose hash `restorable` checks; what is larger is checked by size, and by its hash before it is used."""


class Provenance(BaseModel):
    """Where a version comes from: tags of the registered version, each named `superalign.` and the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    round: int
    """Round that made it; 0 for the bootstrap."""
    recipe: str
    """Recipe of that round."""
    parent: int | None = None
    """Version of the same role it was trained from or replaced."""
    critic: int | None = None
    """Of a learner: the critic's version that belongs to it, and goes back with it."""
    data: str | None = None
    """md5 of the state of data/ after its round, as DVC names it."""
    artifacts: dict[str, str] = {}
    """Stage -> md5 of its artifact."""
    git: str | None = None
    """Commit of the workspace's Git repository; ends in ``-dirty`` where there were changes."""
    flow: str | None = None
    """Prefect's flow-run id."""


class Registered(Provenance):
    """A version of a registered model."""

    role: Role
    """Name of the registered model."""
    version: int
    """Its number."""
    policy: Policy
    """Its weights."""
    run: str
    """MLflow run of its round."""
    created: str
    """When, ISO 8601 in UTC."""
    aliases: tuple[str, ...] = ()
    """``champion``, ``candidate``."""
    notes: dict[str, str] = {}
    """Rollbacks to it: when -> who, from where and why."""
    files: dict[str, tuple[int, str]]
    """Files of the weights: name -> size in bytes and md5."""
    place: str
    """Where MLflow keeps the weights: a folder relative to the workspace, or a model's URI."""

    @property
    def name(self) -> str:
        """As people write it, for example ``learner/4``."""
        return f"{self.role}/{self.version}"


def parse(name: str) -> tuple[Role, int]:
    """``learner/4`` -> its role and number; DataError for anything else."""
    role, _, number = name.partition("/")
    if role not in get_args(Role) or not (number.isascii() and number.isdecimal() and len(number) <= DIGITS):
        raise DataError(f"`{name[:80]}` is no version: write ROLE/NUMBER, for example learner/2 (roles: {', '.join(get_args(Role))})")
    return role, int(number)  # type: ignore[return-value]


def register(policy: Policy, run: str, provenance: Provenance) -> Registered:
    """Registers a policy's weights, once per round and content; registering again only brings the tags up to date.

    Weights are copied as they are, so MLflow holds a second, byte-identical copy.
    """
    client = store.client()
    known = [v for v in versions(policy.role) if v.round == provenance.round and v.policy.md5 == policy.md5]
    tags = _tags(provenance)
    if known:
        with store.reached():
            for key, value in tags.items():
                client.set_model_version_tag(policy.role, str(known[0].version), key, value)
        return version(policy.role, known[0].version)
    source = _weights(policy.verify(), run)
    listing = {path.relative_to(policy.path).as_posix(): (path.stat().st_size, md5_of(path)) for path in _files(Path(policy.path))}
    tags |= {"superalign.policy": policy.md5, "superalign.files": json.dumps(listing, sort_keys=True)}
    with store.reached():
        if not any(model.name == policy.role for model in client.search_registered_models()):
            client.create_registered_model(policy.role)
        # Tags and version are one write: a version without tags would not be found again after a kill, and registered twice.
        made = client.create_model_version(policy.role, source, run, tags)
        client.set_registered_model_alias(policy.role, CANDIDATE, made.version)
    return version(policy.role, int(made.version))


def _weights(policy: Policy, run: str) -> str:
    """URI of MLflow's copy of the weights, made where there is none."""
    number, client = store.experiment(), store.client()
    import mlflow
    import mlflow.transformers

    with store.reached():
        wanted = f"tags.`superalign.policy` = '{policy.md5}'"
        ready = [model for model in client.search_logged_models([number], wanted) if model.status.value == "READY"]
        if ready:
            return str(ready[0].model_uri)
        mlflow.set_tracking_uri(client.tracking_uri)
        if Base.read(Path(policy.path)) is not None:
            return _reference(client, number, policy, run)
        before = client.get_run(run).info.status
        with mlflow.start_run(run_id=run):
            info = mlflow.transformers.log_model(
                policy.path,
                name=policy.role,
                task="text-generation",
                tags={"superalign.policy": policy.md5},
                pip_requirements=["torch", "transformers"],
            )
        client.update_run(run, before)  # leaving `start_run` has finished it
    return str(info.model_uri)


def _reference(client: Any, experiment: str, policy: Policy, run: str) -> str:
    """URI of the copy of a reference or an adapter: its own files alone, and not the model it refers to."""
    tags = {"superalign.policy": policy.md5}
    model = client.create_logged_model(experiment, policy.role, run, tags=tags, model_type="adapter")
    with TemporaryDirectory() as folder:
        shutil.copytree(policy.path, Path(folder) / "model")
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    return f"models:/{model.model_id}"


def versions(role: Role) -> list[Registered]:
    """All versions of a role, oldest first; none where nothing is registered."""
    if store.direct():
        return [_registered(row) for row in _read(role)]
    if store.server() is None and not store.DATABASE.exists():
        return []
    return sorted((_registered(row) for row in _ask(role)), key=lambda registered: registered.version)


def version(role: Role, number: int) -> Registered:
    """One version; DataError if there is no such version, LedgerError if there is none at all although there was."""
    found = {registered.version: registered for registered in versions(role)}
    if number not in found:
        if not found and journal.over(0):
            raise LedgerError(_gone(role))
        known = f"versions 1 to {max(found)}" if found else "none yet: `superalign bootstrap` makes the first"
        raise DataError(f"{role}/{number} is not registered; {role} has {known}")
    return found[number]


def champion(role: Role) -> Registered:
    """The version the next round starts from. LedgerError where there is none."""
    for registered in versions(role):
        if CHAMPION in registered.aliases:
            return registered
    if journal.over(0):
        raise LedgerError(_gone(role))
    raise LedgerError(f"no {role} is champion yet; `superalign bootstrap` registers the first one")


def _gone(role: Role) -> str:
    """What to say where rounds are finished and the registry knows no champion of them."""
    if (server := store.server()) is not None:
        where, out = server, "name the server that has it in MLFLOW_TRACKING_URI, or unset that"
    else:
        where, out = store.DATABASE.as_posix(), f"bring the folder {store.FOLDER} back from a backup of this workspace"
    return f"there are finished rounds, but no champion {role} in MLflow's registry {where}: it is missing or another one; {out}"


def set_champion(*champions: Registered) -> None:
    """Moves the alias, of all the roles at once."""
    with moving(champions):
        pass


@contextmanager
def moving(champions: Sequence[Registered], notes: dict[str, str] | None = None) -> Iterator[None]:
    """Moves the champion alias to ``champions`` if the body succeeds, and leaves everything as it was if it fails.

    Args:
        champions: At most one version a role.
        notes: Tags set on each of them with the move.
    """
    if not store.direct():
        yield
        _move(champions, notes or {})
        return
    with store.database(write=True) as connection:
        for model in champions:
            for key, value in (notes or {}).items():
                connection.execute(
                    "INSERT OR REPLACE INTO model_version_tags VALUES (?, ?, ?, ?, 'default')", (key, value, model.role, model.version)
                )
            connection.execute(
                "INSERT OR REPLACE INTO registered_model_aliases VALUES (?, ?, ?, 'default')", (CHAMPION, model.version, model.role)
            )
        yield


def restorable(registered: Registered) -> None:
    """Looks whether the weights are here or in MLflow, by hash as far as that takes no time; and the model they refer to.

    Raises:
        PolicyError: They are in neither place, or the model is missing or another one.
    """
    if not any(_intact(folder, registered) for folder in (Path(registered.policy.path), Path(registered.place))) and store.server() is None:
        raise PolicyError(
            f"the weights of {registered.name} are missing or corrupted in {registered.policy.path} and in {registered.place}; "
            f"bring back either folder from a copy of this workspace (its files and md5s: `superalign lineage {registered.name} --json`)"
        )
    if Path(registered.policy.path).is_dir() and (base := Base.read(Path(registered.policy.path))) is not None:
        base.find()


def restore_policy(md5: str) -> Policy:
    """Brings weights back to `.superalign/policies` from MLflow, byte by byte. PolicyError if MLflow does not hold them."""
    held = [model for role in get_args(Role) for model in versions(role) if model.policy.md5 == md5]
    if not held:
        raise PolicyError(f"no registered version has the weights {md5}; `superalign rounds` lists what there is")
    target = STORE / md5
    beside = target.with_name(f".{md5}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(_copy(held[0]), beside)
        if folder_md5(beside) != md5:
            raise PolicyError(
                f"MLflow's copy of {held[0].name} in {held[0].place} is corrupted as well; bring it back from a copy of this workspace"
            )
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
    except OSError as error:
        raise LedgerError(f"the weights of {held[0].name} could not be brought back to {target} ({error}); {store.AGAIN}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return held[0].policy


def commit() -> str | None:
    """Commit of the Git repository around the workspace, with ``-dirty`` where it has changes; None where there is none."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _tags(provenance: Provenance) -> dict[str, str]:
    values = provenance.model_dump(exclude_none=True)
    return {
        f"superalign.{key}": json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value) for key, value in values.items()
    }


def _registered(row: dict[str, Any]) -> Registered:
    """A version from what MLflow says: ``role``, ``version``, ``run``, ``created`` (ms), ``place``, ``tags`` and ``aliases``."""
    tags = {key.removeprefix("superalign."): value for key, value in row["tags"].items() if key.startswith("superalign.")}
    md5 = tags.pop("policy", None)
    if md5 is None:
        raise LedgerError(
            f"{row['role']}/{row['version']} was registered by something else than superalign; delete that version in MLflow's UI"
        )
    notes = {key.removeprefix("rollback."): value for key, value in tags.items() if key.startswith("rollback.")}
    known = {key: json.loads(tags[key]) if key in ("artifacts", "files") else tags[key] for key in tags if key in Registered.model_fields}
    return Registered.model_validate(
        {
            **known,
            **{key: row[key] for key in ("role", "version", "run", "place", "aliases")},
            "policy": Policy(role=row["role"], path=(STORE / md5).as_posix(), md5=md5),
            "created": datetime.fromtimestamp(row["created"] / 1000, UTC).isoformat(timespec="seconds"),
            "notes": notes,
        }
    )


def _read(role: Role) -> Iterator[dict[str, Any]]:
    with store.database() as connection:
        tags: dict[int, dict[str, str]] = {}
        for number, key, value in connection.execute("SELECT version, key, value FROM model_version_tags WHERE name = ?", (role,)):
            tags.setdefault(number, {})[key] = value
        aliases: dict[int, list[str]] = {}
        for number, alias in connection.execute(
            "SELECT version, alias FROM registered_model_aliases WHERE name = ? ORDER BY alias", (role,)
        ):
            aliases.setdefault(number, []).append(alias)
        rows = connection.execute(
            "SELECT v.version, v.run_id, v.creation_time, v.source, m.artifact_location FROM model_versions v "
            "LEFT JOIN logged_models m ON v.source = 'models:/' || m.model_id "
            "WHERE v.name = ? AND v.current_stage != 'Deleted_Internal' ORDER BY v.version",
            (role,),
        ).fetchall()
    for number, run, created, source, place in rows:
        where = f"{place}/model" if place else source
        yield {
            "role": role, "version": number, "run": run, "created": created, "place": where,
            "tags": tags.get(number, {}), "aliases": aliases.get(number, []),
        }  # fmt: skip


def _ask(role: Role) -> Iterator[dict[str, Any]]:
    client = store.client()
    with store.reached():
        aliases: dict[int, list[str]] = {}
        for model in client.search_registered_models():
            for alias, number in sorted(model.aliases.items() if model.name == role else ()):
                aliases.setdefault(int(number), []).append(alias)
        for found in client.search_model_versions(f"name = '{role}'"):
            number, place = int(found.version), found.source or ""
            if store.server() is None:
                place = f"{client.get_logged_model(place.removeprefix('models:/')).artifact_location}/model"
            yield {
                "role": role, "version": number, "run": found.run_id, "created": found.creation_timestamp, "place": place,
                "tags": found.tags, "aliases": aliases.get(number, []),
            }  # fmt: skip


def _move(champions: Sequence[Registered], notes: dict[str, str]) -> None:
    client = store.client()
    with store.reached():
        for model in champions:
            for key, value in notes.items():
                client.set_model_version_tag(model.role, str(model.version), key, value)
            client.set_registered_model_alias(model.role, CHAMPION, str(model.version))


def _copy(registered: Registered) -> Path:
    """A folder with MLflow's copy of the weights, downloaded where it lies on a server."""
    if not registered.place.startswith("models:"):
        return Path(registered.place)
    uri = store.client().tracking_uri
    import mlflow

    with store.reached():
        return Path(mlflow.artifacts.download_artifacts(registered.place, tracking_uri=uri)) / "model"


def _intact(folder: Path, registered: Registered) -> bool:
    """Whether a folder holds a version's files: by size, and by hash, smallest first, within `HASHED` bytes."""
    spent = 0
    for name, (size, md5) in sorted(registered.files.items(), key=lambda item: item[1]):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return False
        spent += size
        if spent <= HASHED and md5_of(path) != md5:
            return False
    return True


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
