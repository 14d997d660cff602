"""Chat: open questions. Helpfulness is judged by a critic, and nothing verifies it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superalign.domains import Dimension, Problem, Subject
from superalign.domains.collection import normal, text_of
from superalign.errors import DataError


class Talk(Subject):
    """Rows with ``turns`` (a list whose first is asked), ``prompt`` (such a list, or text) or ``instruction``, and a ``category``."""

    name = "chat"
    criterion = (
        "The answer is right if it does what is asked, is true, and is complete without padding. "
        "It is wrong if it misleads, leaves out what was asked, or wanders off."
    )
    dimensions: Mapping[str, Dimension] = {"helpfulness": Dimension("the answer does what is asked, and is true", verified=False)}

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """The first turn, with a demonstration where the row has one (``completion``, ``output`` or a ``reference``)."""
        turns = next((row[name] for name in ("turns", "prompt") if isinstance(row.get(name), list)), None)
        if turns is not None and not (turns and isinstance(turns[0], str)):
            raise DataError(f"`turns` is a list that begins with a text, found {str(turns)[:40]}")
        prompt = text_of({"prompt": turns[0]} if turns else row, "prompt", "instruction")
        answer = next((row[name] for name in ("completion", "output") if isinstance(row.get(name), str) and row[name].strip()), None)
        category = normal(str(row.get("category") or "general")).replace(" ", "_")
        return Problem(prompt=prompt, category=category, demonstration=answer)
