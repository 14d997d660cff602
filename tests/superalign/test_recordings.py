"""Laws of the engines that run no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.engines import EchoConfig, ReplayConfig, Sampling
from superalign.errors import ConfigError, DataError, EngineError
from superalign.policy import Policy
from superalign.records import Response

POLICY = Policy(role="learner", path="nowhere", md5="0")


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def test_the_first_pattern_found_in_a_prompt_decides_the_answer() -> None:
    engine = EchoConfig(script=((r"(\d)\+(\d)", r"\2 and \1"), ("", "no sum"))).build(POLICY)
    answers = engine.generate(["1+2=", "hello"], Sampling(num_samples=2), rng_seed=0)
    assert [[answer.text for answer in group] for group in answers] == [["2 and 1"] * 2, ["no sum"] * 2]


def test_a_prompt_outside_the_script_is_named() -> None:
    with pytest.raises(EngineError, match=r"no pattern .* 'hello'"):
        EchoConfig(script=(("1", "2"),)).build(POLICY).generate(["hello"], Sampling(), rng_seed=0)


def test_a_script_that_is_no_pattern_is_a_wrong_recipe() -> None:
    with pytest.raises(ConfigError, match="'\\('"):
        EchoConfig(script=(("(", "2"),)).build(POLICY)


def test_recorded_answers_are_played_back_in_their_order_and_none_is_made_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(
        tmp_path / "r.jsonl", {"prompt": "a", "response": ["1", "2"]}, {"prompt": "b", "response": "x"}, {"prompt": "a", "response": "3"}
    )
    engine = ReplayConfig(path=path).build(POLICY)
    answers = engine.generate(["a", "b"], Sampling(num_samples=2), rng_seed=7)
    assert [[answer.text for answer in group] for group in answers] == [["1", "2"], ["x"]]
    assert "1 of 2 prompts have fewer answers" in caplog.text


def test_a_list_in_a_cell_of_a_csv_is_a_list_and_in_a_text_of_jsonl_it_is_the_text(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('prompt,response\na,"[""1"", ""2""]"\n')
    path = write(tmp_path / "r.jsonl", {"prompt": "a", "response": '["1", "2"]'})
    read = [ReplayConfig(path=place).build(POLICY).generate(["a"], Sampling(num_samples=2), 0) for place in (str(tmp_path / "r.csv"), path)]
    assert [[row.text for row in group] for (group,) in read] == [["1", "2"], ['["1", "2"]']]


def test_a_prompt_that_was_not_recorded_is_named_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"prompt": "a", "response": "1"})
    with pytest.raises(EngineError, match=r"1 of 1 prompts are not in the recording .*r.jsonl.*'c'"):
        ReplayConfig(path=path).build(POLICY).generate(["c"], Sampling(), rng_seed=0)


@pytest.mark.parametrize(
    "line", ["{", "[" * 100_000, "3", '{"prompt": "a"}', '{"prompt": "a", "response": []}', '{"prompt": 1, "response": "b"}']
)
def test_a_broken_line_of_a_recording_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"prompt": "a", "response": "1"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=r"r\.jsonl, row 3"):
        ReplayConfig(path=str(path)).build(POLICY)


@pytest.mark.parametrize("row", [{"prompt": "a\ud800", "response": "1"}, {"prompt": "a", "response": ["1", "so \udc00"]}])
def test_half_a_surrogate_pair_in_a_recording_is_refused_with_its_row(tmp_path: Path, row: dict[str, object]) -> None:
    path = write(tmp_path / "r.jsonl", {"prompt": "b", "response": "1"}, row)
    with pytest.raises(DataError, match=r"r\.jsonl, row 2: a text of it holds what is not Unicode at character"):
        ReplayConfig(path=path).build(POLICY)


def test_a_recording_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        ReplayConfig(path=str(tmp_path / "none.jsonl")).build(POLICY)
    (tmp_path / "r.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"r\.jsonl"):
        ReplayConfig(path=str(tmp_path / "r.jsonl")).build(POLICY)


def test_two_recordings_are_two_engines(tmp_path: Path) -> None:
    names = {ReplayConfig(path=write(tmp_path / "r.jsonl", {"prompt": "a", "response": text})).build(POLICY).name for text in "12"}
    assert len(names) == 2


def test_log_probabilities_that_nobody_knows_are_none_and_not_zero() -> None:
    completion = EchoConfig().build(POLICY).generate(["a"], Sampling(num_samples=1), rng_seed=0)[0][0]
    response = Response(
        id="0", query="0", sample=0, text="", num_tokens=0, mean_logprob=completion.mean_logprob, finished=True, policy="0", engine="echo"
    )
    assert response.mean_logprob is None
