"""MLflow's store: where it is and how it is reached. Runs are written by `tasks.track`, models by `tasks.register`.

The default is the workspace's own SQLite file. Importing MLflow costs seconds, so what only asks (which version is champion?) reads
that file directly, as long as its schema is one that was read here before; `MLFLOW_TRACKING_URI` names a server instead.
"""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from superalign.errors import LedgerError

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = Path("mlruns")
DATABASE = FOLDER / "mlflow.db"
ARTIFACTS = "mlruns/artifacts"
"""Artifact root, kept relative in the database: every run and model derives its place from it, so a workspace can be moved."""
EXPERIMENT = "superalign"
SCHEMAS = frozenset({"dc11669786a5"})
"""Revisions of MLflow's schema whose model registry is read and written directly (3.17); others go through MLflow's client."""
AGAIN = "nothing is lost: free the cause and run the same command again"
PATIENCE = 5.0
"""Seconds to wait for a lock or a server before it counts as unreachable."""


def server() -> str | None:
    """The tracking server that `MLFLOW_TRACKING_URI` names; None for the workspace's own file, which MLflow itself writes there too."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return None if not uri or uri.startswith("sqlite:") else uri


def client() -> MlflowClient:
    """MLflow's client over the workspace's store, made where there is none. LedgerError, within seconds, if it is out of reach."""
    uri = server()
    if uri is None:
        _writable()
        uri = f"sqlite:///{DATABASE.absolute().as_posix()}"
    elif uri.startswith("http"):
        _answers(uri)
    return _client(uri)


def experiment() -> str:
    """Id of the experiment that holds all rounds."""
    connected = client()
    with reached():
        found = connected.get_experiment_by_name(EXPERIMENT)
        number = found.experiment_id if found else connected.create_experiment(EXPERIMENT, ARTIFACTS if server() is None else None)
    if server() is None:
        _relative(str(number))
    return str(number)


@contextmanager
def reached() -> Iterator[None]:
    """Turns what MLflow raises when it cannot write or be reached into a LedgerError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"MLflow ({server() or DATABASE}) refused: {str(error).splitlines()[0]}; {AGAIN}") from error


def direct() -> bool:
    """Whether the registry is a file here whose schema is known."""
    if server() is not None or not DATABASE.is_file():
        return False
    with database() as connection:
        revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return {revision for (revision,) in revisions} <= SCHEMAS


@contextmanager
def database(write: bool = False) -> Iterator[sqlite3.Connection]:
    """The SQLite file; ``write`` opens one transaction, committed at the end or rolled back on any error."""
    try:
        with closing(
            sqlite3.connect(f"{DATABASE.absolute().as_uri()}?mode={'rw' if write else 'ro'}", PATIENCE, isolation_level=None, uri=True)
        ) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise LedgerError(f"MLflow's database {DATABASE} cannot be {'written' if write else 'read'} ({error}); {AGAIN}") from error


@functools.lru_cache(maxsize=8)
def _client(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"  # a handful of traces: waiting for the queue takes longer than writing them
    warnings.filterwarnings("ignore", module=r"mlflow\.")  # what it says of its own insides
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with reached():
        mlflow.set_tracking_uri(uri)  # where MLflow looks up a model's URI, whatever client asks
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def _writable() -> None:
    """Looks before MLflow does: its own answer to a file it cannot write comes after many retries."""
    try:
        Path(ARTIFACTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"MLflow's folder {FOLDER} cannot be written ({error}); {AGAIN}") from error
    if DATABASE.exists():
        with database(write=True):
            pass


def _answers(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PATIENCE):  # noqa: S310 - http, named by the user
            pass
    except (urllib.error.URLError, OSError) as error:
        raise LedgerError(f"the MLflow server {uri} does not answer ({error}): start it or unset MLFLOW_TRACKING_URI; {AGAIN}") from error


def _relative(number: str) -> None:
    """MLflow makes the artifact root absolute when it creates an experiment; this takes it back, before any run derives from it."""
    with database() as connection:
        (place,) = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = ?", (number,)).fetchone()
    if place != ARTIFACTS:
        with database(write=True) as connection:
            connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (ARTIFACTS, number))
