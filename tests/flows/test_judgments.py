"""Laws of judges that are held against people by what a workspace's rounds recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.judgments import FILE
from superalign import journal
from tests.toy import ToyRound, judged, label


def finished(number: int, selector: str = "random", critic: str = "critic/1", **config: Any) -> None:
    """300 answers, of which people judged every third; the critic is right about all but every tenth, of which it is not sure."""
    right = [at % 2 > 0 for at in range(300)]
    says = [one if at % 10 else not one for at, one in enumerate(right)]
    rows = [
        judged(f"{number * 1000 + at}+1=", "2", 0.5 + (0.05 + 0.4 * (at % 10 > 0)) * (1 if said else -1)) for at, said in enumerate(says)
    ]
    made = ToyRound(f"data/rounds/{number:04d}", rows)
    answers = [
        label(row.prompt, row.text, None if at == 0 else right[at], reason="uncertain" if at % 6 else "audit")
        for at, row in enumerate(rows)
        if at % 3 == 0
    ]
    change = journal.Change(before="learner/1")
    journal.RoundRecord(
        round=number, parent=0, recipe="default", config={"critic": {"type": "generative", **config}, "oversight": {"selector": selector}},
        code="", status="finished", artifacts={"critique": made.critiques, "oversee": made.labels(answers)},
        learner=change, critic=journal.Change(before=critic),
    ).save()  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--rounds", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_judge_is_calibrated_on_what_was_drawn_at_random_from_all_answers(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(1)
    finished(2)
    finished(3, selector="uncertain")
    found = printed(capsys, "calibrate", "--risk", "0.2", "--cascade", "generative")["judges"]["generative"]
    assert (found["n"], found["threshold"]) == (100, 0.95)
    assert printed(capsys, "agreement")["judges"].keys() == {"generative", "consistency"}
    rows = [json.loads(line) for line in FILE.read_text().splitlines()]
    assert len(rows) == 200
    assert rows[0].keys() == {"item", "judge", "verdict", "label", "confidence"}


def test_another_critic_or_other_weights_are_another_judge(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(1)
    finished(2, votes=8)
    finished(3, critic="critic/2", votes=8)
    assert printed(capsys, "agreement")["judges"]["generative"]["n"] == 50


def test_without_a_random_label_it_says_how_to_get_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(1, selector="uncertain")
    assert main(["calibrate", "--rounds", "--risk", "0.2"]) == 2
    assert "run rounds with oversight.selector=random" in capsys.readouterr().err
    for words in (["agreement"], ["agreement", "rows.jsonl", "--rounds"]):
        assert main(words) == 2
        assert "name a file, or say --rounds, and not both" in capsys.readouterr().err
