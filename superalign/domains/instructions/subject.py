"""IFEval's rows: prompts, the ids of the instructions in them, and their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superalign.domains import Dimension, Problem, Subject
from superalign.domains.collection import listed, text_of
from superalign.domains.instructions.checks import read, verify
from superalign.domains.marks import Mark
from superalign.errors import DataError

IDS, ARGUMENTS = "instruction_id_list", "kwargs"


class Instructions(Subject):
    """Requests with instructions that can be checked; a category is the family of the first, or ``several``."""

    name = "instructions"
    criterion = (
        "The answer is right if it follows every instruction of the request to the letter (length, format, words, language, case). "
        "Check them one by one."
    )
    dimensions: Mapping[str, Dimension] = {
        "instruction-following": Dimension("every instruction of the request is followed", verified=True)
    }
    compared = False

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """A row with ``prompt``, ``instruction_id_list`` and ``kwargs``."""
        target = self.target(row, None)
        read(target)
        families = sorted({str(name).partition(":")[0] for name in target[IDS]})
        return Problem(text_of(row, "prompt"), families[0] if len(families) == 1 else "several", target)

    def target(self, row: Mapping[str, Any], column: str | None) -> Any:
        """The instructions' ids and arguments; ``column`` may hold both in one."""
        if column and column not in (IDS, ARGUMENTS):
            return row[column] if row.get(column) is not None else _missing(column, row)
        return {name: listed(row[name]) if row.get(name) is not None else _missing(name, row) for name in (IDS, ARGUMENTS)}

    def verify(self, target: Any, text: str) -> Mark:
        """By checking each instruction."""
        return verify(target, text)


def _missing(column: str, row: Mapping[str, Any]) -> Any:
    raise DataError(f"there is no `{column}`; found {sorted(row)[:12]}")
