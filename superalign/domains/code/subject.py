"""MBPP's and HumanEval's rows: a request, and tests that a program must pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superalign.domains import Dimension, Problem, Subject
from superalign.domains.collection import text_of
from superalign.domains.marks import Mark
from superalign.errors import DataError

MBPP = ("test_list", "test_setup_code", "test_imports")
HUMAN_EVAL = ("test", "entry_point", "prompt")


class Code(Subject):
    """Programs; a category is the data set and how long the shown solution is, where there is one."""

    name = "code"
    criterion = (
        "The answer is right if its program does what is asked for every input, so that its tests pass. Run it in your head on the tests "
        "that the request names and on an edge case before you judge."
    )
    dimensions: Mapping[str, Dimension] = {"correctness": Dimension("the program passes its tests", verified=True)}
    compared = False

    def problem(self, row: Mapping[str, Any]) -> Problem:
        """A row of either kind; of MBPP's tests the first is shown, as is usual, so that a program knows its name."""
        row = _given(row)
        target = self.target(row, None)
        if "test_list" in target:
            text, solution, kind = text_of(row, "text", "prompt"), row.get("code"), "mbpp"
            prompt = f"{text.strip()}\n\nYour program must pass this test:\n{target['test_list'][0]}"
        else:
            prompt, kind = text_of(row, "prompt"), "humaneval"
            solution = f"{prompt}{row['canonical_solution']}" if isinstance(row.get("canonical_solution"), str) else None
            prompt = f"Complete this program, and give it whole:\n\n```python\n{prompt.rstrip()}\n```"
        shown = solution.replace("\r\n", "\n").strip() if isinstance(solution, str) and solution.strip() else None
        category = f"{kind}-{'long' if shown.count(chr(10)) >= 10 else 'short'}" if shown else kind
        return Problem(prompt, category, target, f"```python\n{shown}\n```" if shown else None)

    def final(self, text: str) -> str | None:
        """The program, without white space that says nothing."""
        from superalign.domains.code.programs import extract

        program = extract(text)
        return "\n".join(line.rstrip() for line in program.splitlines() if line.strip()) if program else None

    def target(self, row: Mapping[str, Any], column: str | None) -> Any:
        """MBPP's ``test_list`` with its set-up, or HumanEval's ``test`` with ``entry_point`` and prompt."""
        row = _given(row)
        column = column or next((name for name in ("test_list", "test") if row.get(name) is not None), None)
        if column is None or row.get(column) is None:
            raise DataError(f"there is no {f'`{column}`' if column else '`test_list` or `test`'}; found {sorted(row)[:12]}")
        tests = row[column]
        if isinstance(tests, str) and not isinstance(row.get("entry_point"), str) and "assert" in tests:
            from superalign.domains.code.programs import read_list

            tests = read_list(tests)
        if isinstance(tests, list):
            if not tests or not all(isinstance(test, str) for test in tests):
                raise DataError(f"`{column}` is a list of assert statements, found {str(tests)[:40]}")
            return {"test_list": tests, **{name: row[name] for name in MBPP[1:] if row.get(name)}}
        if not isinstance(tests, str) or not isinstance(row.get("entry_point"), str):
            raise DataError(
                f"`{column}` is a list of assert statements, or HumanEval's test beside `entry_point`; found {str(tests)[:40]!r}"
            )
        return {"test": tests, **{name: row[name] for name in HUMAN_EVAL[1:] if isinstance(row.get(name), str)}}

    def verify(self, target: Any, text: str) -> Mark:
        """By running the tests in the sandbox."""
        from superalign.domains.code.programs import verify

        return verify(target, text)


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells that hold something: a CSV with both kinds of rows has empty ones in the columns of the other kind."""
    return {name: value for name, value in row.items() if not isinstance(value, str) or value.strip()}
