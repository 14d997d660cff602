from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli import main, screen

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(rows: list[dict[str, Any]]) -> str:
    Path("verdicts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return "verdicts.jsonl"


def sound(judge: str = "j", wrong: int = 20) -> list[dict[str, Any]]:
    return [
        {"item": at, "judge": judge, "verdict": 1 + (at % 2 if at % wrong else 1 - at % 2), "label": 1 + at % 2, "confidence": 1 - at / 400}
        for at in range(200)
    ]


def printed(capsys: Captured, *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_agreement_gives_a_script_every_number_and_a_person_a_table(capsys: Captured) -> None:
    path = write([*sound(), *({"item": at, "label": 1 + at % 2, "annotator": who} for at in range(200) for who in ("ann", "bob"))])
    found = printed(capsys, "agreement", path)
    assert found["judges"]["j"]["n"] == 200 and found["judges"]["j"]["accuracy"] == 0.95
    assert {"kappa", "position_consistency", "ece", "unparsed", "accuracy_by_order", "kappa_swap"} <= set(found["judges"]["j"])
    assert found["kappas"]["ann & bob"] == 1 and found["bad_rows"] == 0
    assert main(["agreement", path]) == 0
    assert "0.950 (0.9" in (out := capsys.readouterr().out) and "ann & bob" in out


def test_calibrate_gives_a_script_every_number_and_a_person_a_table(capsys: Captured) -> None:
    path = write([*sound(), *sound("weak", 2)])
    found = printed(capsys, "calibrate", path, "--risk", "0.15", "--confidence", "0.9")
    judge, weak = found["judges"]["j"], found["judges"]["weak"]
    assert judge["threshold"] == 1 - 199 / 400 and judge["coverage"] == 1 and judge["bound"] <= 0.15 and judge["n_tested"] == 141
    assert weak["threshold"] is None and weak["coverage"] == 0 and weak["bound"] is None
    assert printed(capsys, "calibrate", path, "--risk", "0.15", "--cascade", "weak, j")["cascade"] == ["weak", "j"]
    assert main(["calibrate", path, "--risk", "0.15"]) == 0
    assert "weak is trusted with nothing, ask a human" in capsys.readouterr().out


def test_win_rates_and_bins_are_for_scripts_and_on_demand_for_people(capsys: Captured) -> None:
    few = [row if row["item"] < 80 else {**row, "label": None} for row in sound()]
    coin = [{"item": at, "judge": "coin", "verdict": 1 + at // 2 % 2} for at in range(200)]
    path = write([*few, *coin])
    found = printed(capsys, "agreement", path, "--wins", "A")
    rate, blind = (found["win_rates"][name] for name in ("j", "coin"))
    assert rate["labelled"] == 80 and rate["interval"][0] < 0.5 < rate["interval"][1] and rate["alone"] == 0.5
    assert blind["mean"] is None and "no better than chance" in blind["reason"]
    assert [each["n"] for each in found["judges"]["j"]["reliability"]] == [39, 41]
    assert "win_rates" not in printed(capsys, "agreement", path)
    assert main(["agreement", path, "--wins", "A", "--bins"]) == 0
    out = capsys.readouterr().out
    assert "how often A wins" in out and "coin gives no win rate: the judge may be no better" in out and "0.8 to 0.9" in out
    assert main(["agreement", path]) == 0
    assert "wins" not in (out := capsys.readouterr().out) and "0.8 to 0.9" not in out


def scored(num_labels: int = 40) -> list[dict[str, Any]]:
    return [
        {"item": at, "judge": judge, "verdict": said, "label": at % 9 / 2 if at < num_labels else None}
        for at in range(100)
        for judge, said in (("gpt-3.5-turbo", at % 9 / 2 + 0.5 * (at % 2)), ("words", "good"))
    ]


def test_mean_scores_are_for_scripts_and_on_demand_for_people(capsys: Captured) -> None:
    path = write([*scored(), {"item": 0, "annotator": "b", "label": "n/a"}])
    found = printed(capsys, "agreement", path, "--scores")
    score, words = (found["mean_scores"][name] for name in ("gpt-3.5-turbo", "words"))
    assert (score["judged"], score["labelled"], score["unread_labels"]) == (100, 40, 1) and score["interval"][0] < score["mean"] < 2.2
    assert (words["mean"], words["unread_verdicts"], words["reason"]) == (None, 100, "the judge gave no score")
    assert not {"mean_scores", "win_rates"} & set(printed(capsys, "agreement", path))
    assert {"mean_scores", "win_rates"} <= set(printed(capsys, "agreement", path, "--scores", "--wins", "4"))
    assert main(["agreement", path, "--scores"]) == 0
    out = capsys.readouterr().out
    row = next(line.split() for line in out.split("mean score", 1)[1].splitlines() if "gpt-3.5-turbo" in line)
    shown = [f"{value:.3f}" for value in (score["observed"], score["mean"], *score["interval"], score["slope"])]
    assert row == ["gpt-3.5-turbo", "100", shown[0], shown[1], f"({shown[2]}", "to", f"{shown[3]})", "40", shown[4]]
    assert "words gives no mean score: the judge gave no score" in out
    assert "words: left out as no number: 100 of its verdicts, 1 of the labels" in out
    assert main(["agreement", path]) == 0
    assert "mean score" not in capsys.readouterr().out
    assert "label more" in printed(capsys, "agreement", write(scored(19)), "--scores")["mean_scores"]["gpt-3.5-turbo"]["reason"]


def test_mean_scores_of_what_may_be_positions_say_so(capsys: Captured) -> None:
    path = write([{"item": at, "judge": "j", "verdict": at % 3, "label": at % 3} for at in range(30)])
    assert printed(capsys, "agreement", path)["notes"] == []
    assert "or name the first answer" in printed(capsys, "agreement", path, "--scores")["notes"][0]
    assert main(["agreement", path, "--scores"]) == 0
    assert "note: labels 1, 2 and 0 may be points" in capsys.readouterr().out
    for points in ([0, 1], [1, 2, 3]):
        path = write([{"item": at, "judge": "j", "verdict": at % 3, "label": points[at % len(points)]} for at in range(30)])
        assert printed(capsys, "agreement", path, "--scores")["notes"] == []


def test_at_80_columns_no_word_of_a_heading_is_broken(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "out", lambda: Console(file=sys.stdout, width=80, highlight=False))
    path = write([{**row, "order": order} for row in sound("gpt-3.5-turbo") for order in (0, 1)])
    assert main(["agreement", path, "--wins", "A", "--scores", "--bins"]) == 0
    assert main(["calibrate", path, "--risk", "0.15"]) == 0
    headings = (
        "accuracy kappa ece unparsed same in both corrected likeliest labelled slope sees none coverage thresholds temperature isotonic"
    )
    assert {*headings.split()} <= {*capsys.readouterr().out.split()}


def test_labels_of_many_kinds_are_not_all_shown(capsys: Captured) -> None:
    path = write([{"item": at, "judge": "j", "verdict": f"text {at}", "label": f"text {at}"} for at in range(100)])
    assert main(["agreement", path]) == 0
    assert "text 7 and 92 more" in capsys.readouterr().out and len(printed(capsys, "agreement", path)["classes"]) == 100


def test_labels_that_look_like_the_screens_own_marks_are_shown_as_they_are(capsys: Captured) -> None:
    path = write([{"item": at, "judge": "j", "verdict": "[/x]", "label": ("[/x]", "\x1b[2Jb")[at % 2]} for at in range(9)])
    assert main(["agreement", path, "--wins", "[/x]"]) == 0
    assert "labels [/x]" in (out := capsys.readouterr().out) and "how often [/x] wins" in out and "\x1b" not in out


def test_calibrate_says_what_calibration_would_do_to_confidences_and_nothing_of_votes(capsys: Captured) -> None:
    votes = [{"item": at, "judge": "votes", "verdict": 1 + (at + turn // 2) % 2} for at in range(200) for turn in range(3)]
    path = write([*sound(), *votes])
    found = printed(capsys, "calibrate", path, "--risk", "0.15")["calibration"]
    assert set(found) == {"j"} and found["j"]["n"] == 200
    assert found["j"]["raw"] > found["j"]["isotonic"] and found["j"]["temperature"] < found["j"]["raw"]
    assert main(["calibrate", path, "--risk", "0.15"]) == 0
    assert "by temperature" in capsys.readouterr().out


def test_bad_rows_are_told_to_people_and_scripts(capsys: Captured) -> None:
    path = write([*sound(), {"item": 999, "judge": "\x1b[2Jj", "verdict": 1, "label": 1, "confidence": 7}, {"judge": "j"}])
    assert len(printed(capsys, "agreement", path)["problems"]) == 2
    assert main(["agreement", path]) == 0
    assert "2 rows were not taken" in (out := capsys.readouterr().out) and "row 201: `confidence` is 7" in out and "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("calibrate", "verdicts.jsonl"), "--risk"),
        (("calibrate", "verdicts.jsonl", "--risk", "0"), "--risk is 0"),
        (("calibrate", "verdicts.jsonl", "--risk", "some"), "--risk"),
        (("calibrate", "verdicts.jsonl", "--risk", "0.1", "--confidence", "1"), "--confidence is 1"),
        (("calibrate", "verdicts.jsonl", "--risk", "0.1", "--cascade", "k"), "--cascade names 'k'"),
        (("calibrate", "verdicts.jsonl", "--risk", "0.1", "--minimum", "0"), "--minimum"),
        (("agreement", "nothing.jsonl"), "does not exist"),
        (("agreement", "verdicts.jsonl", "--wins", "neither"), "no item was labelled 'neither'; there is 1, 2"),
        (("agreement", "verdicts.jsonl", "--scores", "--shown"), "leave --shown or --scores out"),
        (("agreement", "words.csv", "--scores"), "no verdict is a number that can be averaged: found 'false', 'true'; write scores"),
        (("agreement", "empty.csv"), "no row of"),
        (("calibrate", "empty.csv", "--risk", "0.1"), "no row of"),
    ],
)
def test_a_wrong_call_or_file_ends_with_two_and_says_why(capsys: Captured, words: tuple[str, ...], says: str) -> None:
    write(sound())
    Path("empty.csv").write_text("item,judge,verdict,label\n")
    Path("words.csv").write_text("item,judge,verdict,label\n1,j,True,4\n2,j,False,5\n")
    try:
        code = main(words)
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2 and says in capsys.readouterr().err


def test_neither_command_needs_a_workspace_or_loads_what_it_does_not_need(capsys: Captured) -> None:
    before = {name for name in ("torch", "mlflow", "prefect") if name in sys.modules}
    printed(capsys, "agreement", write(sound()))
    assert {name for name in ("torch", "mlflow", "prefect") if name in sys.modules} == before
    assert sorted(path.name for path in Path().iterdir()) == ["verdicts.jsonl"]
