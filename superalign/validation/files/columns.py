"""Columns: which column of a file is what, by its name and its first values, and what a value of it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from superalign.validation.files.values import READ, Value, answer, asked, before, key, name

Fields = dict[str, Any]

TEXTS = (
    *("response", "responses", "output", "completion", "generation", "generated_text", "prediction", "answer", "solution"),
    *("text", "content", "messages", "chosen"),
)
PROMPTS = ("prompt", "question", "instruction", "problem", "query", "input", "goal", "input_text", "turns")
GROUPS = ("query_id", "prompt_id", "question_id", "task_id", "item", "query", "id", "idx", "index", "row", "key")
OTHERS: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "winner"),
    "rejected": ("rejected",),
    "finished": ("finished", "finish_reason", "stop_reason"),
    "correct": ("correct", "is_correct"),
    "score": ("score", "reward"),
    "chosen_score": ("chosen_score", "score_chosen"),
    "rejected_score": ("rejected_score", "score_rejected"),
    "category": ("category",),
    "order": ("order",),
    "verdict": ("verdict",),
    "annotator": ("annotator",),
}
"""Usual names of each role's column, the first that fits being taken."""
AS: Mapping[str, str] = {
    "rejected": "texts",
    "finished": "reasons why a response ended",
    "correct": "true or false",
    **dict.fromkeys(("score", "chosen_score", "rejected_score"), "numbers"),
}
"""What a role's values are read as; names, where nothing else is said."""
ROLES = ("text", "prompt", "group", *OTHERS)
USUAL = frozenset((*TEXTS, *PROMPTS, *GROUPS, *(name for names in OTHERS.values() for name in names)))
ANNOTATORS = re.compile(r"(annotator|rater|label)[_-]?\d{1,3}")
"""Columns that hold one person's label each, side by side."""

HASH = re.compile(r"[0-9a-f-]{16,64}")
"""What only ever names something: a column of these is no text."""


@dataclass(frozen=True)
class Column:
    """A column of the spool: where it comes from, and how a value is read."""

    role: str
    name: str
    """The file's own column, or columns."""
    read: Callable[[Fields], Value]
    """The value of a row; a ``ValueError`` says what it is instead."""
    guessed: bool

    @property
    def type(self) -> pa.DataType:
        """How it is stored."""
        return pa.float64() if "score" in self.role else pa.bool_() if self.role in ("finished", "correct") else pa.string()


def reach(row: Fields, name: str) -> Any:
    """The value of a column; a dotted name reaches into objects. None where there is none."""
    if name in row or "." not in name:
        return row.get(name)
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def recognise(head: Sequence[Fields], named: Mapping[str, str]) -> list[Column]:
    """The columns of a file, of which ``text`` is missing where none could be recognised.

    Args:
        head: The first rows.
        named: Role -> column, for what a person named; the rest is guessed.
    """
    roles = dict(named)
    taken = {column for role, column in named.items() if role != "text"}
    prompt = next((usual for usual in PROMPTS if usual not in taken and _holds_text(head, usual, (str, dict))), None)
    response = _response(head, taken) or prompt
    if response is not None:
        roles.setdefault("text", response)
    if prompt is not None and prompt != roles["text"]:
        roles.setdefault("prompt", prompt)
    if "text" in roles and any(_fits(before, reach(row, roles["text"])) and before(reach(row, roles["text"])) for row in head):
        roles.setdefault("prompt", roles["text"])
    for role, names in {"group": () if "prompt" in roles else GROUPS, **OTHERS}.items():
        free = (usual for usual in names if usual not in roles.values())
        fitting = next((usual for usual in free if _fits_role(head, usual, role)), None)
        if fitting is not None:
            roles.setdefault(role, fitting)
    if "prompt" in roles:
        roles.setdefault("group", roles["prompt"])
    return [_column(role, roles, named, head) for role in ROLES if role in roles]


def _response(head: Sequence[Fields], taken: Container[str]) -> str | None:
    """The column of the texts: where none holds any, one that should, so that its rows are found to be empty or wrong."""
    free = [usual for usual in TEXTS if usual not in taken and any(usual in row for row in head)]
    full = next((usual for usual in free if _holds_text(head, usual, (dict,))), None)
    return full or next((usual for usual in free if not any(isinstance(row.get(usual), str) for row in head)), None)


def item(head: Sequence[Fields], named: str | None) -> Column | None:
    """The column of a benchmark's items: the one named, or its prompts, or its texts where it has none."""
    if named is not None:
        return Column("item", named, lambda row: asked(reach(row, named)), guessed=False)
    columns = {column.role: column for column in recognise(head, {})}
    found = columns.get("prompt", columns.get("text"))
    return found and replace(found, role="item")


def unused(head: Sequence[Fields], columns: Sequence[Column], late: Container[str]) -> list[str]:
    """Why columns of usual names have no role, a line each.

    Args:
        head: The first rows.
        columns: Those in use.
        late: Columns that the rows after them have.
    """
    roles, taken = {column.role for column in columns}, {column.name for column in columns}
    free = [(role, own) for role, names in OTHERS.items() if role not in roles for own in names if own not in taken]
    lines = []
    for role, own in free:
        if any(row.get(own) is not None for row in head):
            lines.append(f"{role}: column `{own}` is there, but its values cannot be read as {AS.get(role, 'names')}: not used")
        elif own in late:
            lines.append(f"{role}: column `{own}` is there, but has no value in the first {len(head)} rows: not used")
    return lines


def annotators(head: Sequence[Fields], columns: Sequence[Column]) -> list[Column]:
    """Columns of several people's labels, which keep their own names; none where there is but one."""
    taken = {column.name for column in columns}
    names = [own for own in dict.fromkeys(own for row in head for own in row) if ANNOTATORS.fullmatch(own) and own not in taken]
    found = [Column(own, own, partial(_label, own), True) for own in names if _most_fit(head, own, name)]
    return found if len(found) > 1 else []


def _label(own: str, row: Fields) -> str | None:
    return name(row.get(own))


def _column(role: str, roles: Mapping[str, str], named: Mapping[str, str], head: Sequence[Fields]) -> Column:
    own, guessed = roles[role], role not in named
    if role == "group" and own == roles.get("prompt"):
        prompt = _column("prompt", roles, named, head)
        return Column(role, prompt.name, lambda row: key(prompt.read(row)), guessed)
    if guessed and own == "instruction" and "input" not in roles.values() and _holds_text(head, "input", ()):
        return Column(role, "instruction + input", _alpaca, guessed)
    convert = READ[role] if role != "text" else asked if own in PROMPTS else answer
    if role == "prompt" and own == roles.get("text"):
        convert = before
    return Column(role, own, lambda row: convert(reach(row, own)), guessed)


def _alpaca(row: Fields) -> str | None:
    """An instruction with what it is to be done to."""
    instruction, given = asked(row.get("instruction")), asked(row.get("input"))
    return instruction if not (given and given.strip()) else f"{instruction or ''}\n{given}"


def _holds_text(head: Sequence[Fields], own: str, inside: tuple[type, ...]) -> bool:
    """Whether a column holds texts that are not mere hashes, or lists of ``inside``."""
    values = [value for row in head if (value := row.get(own)) is not None]
    if any(isinstance(value, list) and value and isinstance(value[0], inside) for value in values):
        return True
    texts = [value for value in values if isinstance(value, str)]
    hashes = [HASH.fullmatch(value) for value in texts if value.strip()]
    return bool(texts) and not (hashes and all(hashes))


def _fits_role(head: Sequence[Fields], own: str, role: str) -> bool:
    """Whether a column may be guessed to have a role."""
    return _holds_text(head, own, (dict,)) if role == "rejected" else _most_fit(head, own, READ[role])


def _most_fit(head: Sequence[Fields], own: str, convert: Callable[[Any], Value]) -> bool:
    """Whether a column is of a kind: at least half of its first values are, so that a wrong one among them is found and not passed over."""
    values = [value for row in head if (value := row.get(own)) is not None]
    return bool(values) and 2 * sum(_fits(convert, value) for value in values) >= len(values)


def _fits(convert: Callable[[Any], Value], value: Any) -> bool:
    try:
        convert(value)
    except (ValueError, OverflowError):
        return False
    return True
