from __future__ import annotations

from superalign.records import Verdict
from tasks.measure import checks


def verdict(name: str, value: float | None) -> Verdict:
    return Verdict(name=name, severity="critical", passed=True, value=value, limit=None)


def test_what_the_checks_on_the_data_measured_is_plotted_and_laws_and_gates_are_not() -> None:
    found = [
        verdict("distinct_2", 0.5),
        verdict("examples", 100),
        verdict("vendi", None),
        verdict("ids are unique", 0),
        verdict("accuracy", 0.1),
    ]
    assert checks(found) == {"data.distinct_2": 0.5, "data.examples": 100}
