"""Ingest: a team's own queries, demonstrations and preferences, checked row by row.

Columns are TRL's: ``prompt``; ``prompt`` and ``completion``, or ``messages``; ``chosen`` and ``rejected`` with ``prompt``, or with the
prompt as their common first message; others are passed over. Conversations of one question and one answer are flattened, longer ones
refused. Either every row is good, or nothing is added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from superalign.artifacts import Artifact
from superalign.domains import Task
from superalign.errors import DataError
from superalign.records import Example, Query, content_id, example_id
from superalign.tables import rows

Kind = Literal["queries", "demonstrations", "preferences"]
ADDED = "data/added"
"""Where a workspace keeps what was added."""
OTHER = "other"
"""Category of a prompt that the domain does not know."""
LONGEST = 100_000
"""Characters a text may have."""
SHOWN = 20
"""Wrong rows a message lists."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
ANSWERS: Mapping[Kind, tuple[str, ...]] = {"queries": (), "demonstrations": ("completion",), "preferences": ("chosen", "rejected")}
RECORD: Mapping[Kind, type[Query | Example]] = {"queries": Query, "demonstrations": Example, "preferences": Example}


class Added(BaseModel):
    """What became of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    artifact: Artifact
    """All that was ever added of this kind."""
    added: int
    """Rows that were new."""
    known: int
    """Rows that the file repeats or that were added before."""
    other: int
    """New rows whose prompt is of no category of the domain."""


def add(path: str, as_: Kind, task: Task, folder: str = ADDED) -> Added:
    """Adds the rows of a file to ``FOLDER/KIND.parquet``; what is there already is not added again.

    Raises:
        DataError: The file, or any of its rows, is wrong; nothing is added.
    """
    target, record = f"{folder}/{as_}.parquet", RECORD[as_]
    found = list(read(path, as_, task))
    before = list(Artifact.open(target, record).records(record)) if Path(target).exists() else []
    known = {row.id for row in before}
    new = list({row.id: row for row in found if row.id not in known}.values())
    artifact = Artifact.write(target, record, chain(before, new))
    return Added(artifact=artifact, added=len(new), known=len(found) - len(new), other=sum(row.category == OTHER for row in new))


def read(path: str, as_: Kind, task: Task) -> Iterator[Query | Example]:
    """The rows of a file as records, once all of them were found to be good.

    Raises:
        DataError: The file cannot be read or holds no row, or rows are wrong, of which at most 20 are listed.
    """
    good, wrong, source = [], [], "data:" + re.sub(r"[^\w.@+-]", "_", Path(path).name)[-100:]
    for number, row in rows(path):
        try:
            good.append(_record(_texts(row, as_), task, source))
        except DataError as error:
            wrong.append(f"row {number}: {error}")
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError(
            f"nothing was added: {len(wrong)} of {len(good) + len(wrong)} rows of {path} are wrong\n" + "\n".join(wrong[:SHOWN]) + more
        )
    if not good:
        raise DataError(f"nothing was added: {path} holds no rows")
    yield from good


def _record(texts: list[str], task: Task, source: str) -> Query | Example:
    """A query of one text, a demonstration of two, a preference of three."""
    prompt, category = texts[0], task.category(texts[0]) or OTHER
    if len(texts) == 1:
        name = content_id(prompt)
        return Query(id=name, prompt=prompt, category=category, attacker=source, seed=name)
    chosen, rejected = texts[1], texts[2] if len(texts) > 2 else None
    if chosen == rejected:
        raise DataError("`chosen` and `rejected` are the same")
    name = example_id(prompt, chosen, rejected)
    return Example(id=name, prompt=prompt, chosen=chosen, rejected=rejected, category=category, source=source)


def _texts(row: dict[str, Any] | str, as_: Kind) -> list[str]:
    """The prompt and the answers of a row, each a clean text."""
    if isinstance(row, str):
        raise DataError(row)
    answers = ANSWERS[as_]
    if as_ == "demonstrations" and "completion" not in row and "messages" in row:
        row = {**_split(row["messages"], "messages", "completion")}
    elif as_ == "preferences" and row.get("prompt") is None:
        row = _shared(row)
    return [_clean(_flat(row, "prompt", "user"), "prompt"), *(_clean(_flat(row, name, "assistant"), name) for name in answers)]


def _shared(row: dict[str, Any]) -> dict[str, Any]:
    """A preference whose two conversations begin with the prompt."""
    chosen, rejected = _split(row.get("chosen"), "chosen", "chosen"), _split(row.get("rejected"), "rejected", "rejected")
    if chosen["prompt"] != rejected["prompt"]:
        raise DataError("there is no `prompt`, and `chosen` and `rejected` begin with different ones")
    return chosen | rejected


def _split(messages: Any, column: str, answer: str) -> dict[str, Any]:
    """A conversation of one question and one answer, in two."""
    if isinstance(messages, list) and len(messages) == 2:
        return {"prompt": messages[:1], answer: messages[1:]}
    found = f"{len(messages)} messages" if isinstance(messages, list) else f"{type(messages).__name__}"
    raise DataError(f"`{column}` should be a message of the user and one of the assistant, or `prompt` be given; found {found}")


def _flat(row: dict[str, Any], column: str, role: str) -> Any:
    """A column's text; that of its one message where it is a conversation."""
    if column not in row:
        raise DataError(f"there is no `{column}`; found {sorted(row)[:10]}")
    value = row[column]
    if not isinstance(value, list):
        return value
    if len(value) != 1 or not isinstance(value[0], dict) or value[0].get("role") != role:
        roles = [message.get("role") if isinstance(message, dict) else message for message in value[:5]]
        raise DataError(f"`{column}` is a conversation that cannot be flattened: wants one message of the {role}, found {str(roles)[:80]}")
    return value[0].get("content")


def _clean(text: Any, column: str) -> str:
    if not isinstance(text, str):
        raise DataError(f"`{column}` is no text but {type(text).__name__}")
    if not text.strip():
        raise DataError(f"`{column}` is empty")
    if len(text) > LONGEST:
        raise DataError(f"`{column}` has {len(text)} characters; {LONGEST} are the most")
    if bad := CONTROL.search(text):
        what = "what is not Unicode" if bad[0] >= "\ud800" else f"the control character {bad[0]!r}"
        raise DataError(f"`{column}` holds {what} at character {bad.start()}")
    return text
