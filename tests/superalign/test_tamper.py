"""Laws of tampering: one error, whose place is read off the texts, and which the critic does not surely find."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

import pytest

from superalign.critics import ModelConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.highlight import HighlightConfig, checking, pointing
from superalign.critics.lessons.tamper import Tampering, criticgpt, highlights, lesson, located, tamper
from superalign.domains import CodeConfig, Gsm8kConfig, Reading, Ruling
from superalign.domains.collection import Collection
from superalign.engines import Completion, Sampling
from superalign.evaluation.injection import canaries
from superalign.records import Example
from tests.conftest import DATA
from tests.toy import ToyTask, demonstration

RIGHT = "She sells 48/2 = 24 clips in May.\nIn all she sells 48+24 = 72 clips.\n#### 72"
WRONG = RIGHT.replace("= 24", "= 26")
WEEK = re.compile(r"week \d")
ANSWER = demonstration("How many clips?", RIGHT)


class Lines(ToyTask):
    """A task whose steps are lines and whose critiques are as a collection's."""

    def __init__(self, shown: Sequence[Example] = (ANSWER,)) -> None:
        self.shown = shown

    def read(self, critique: str) -> Reading | None:
        return Collection.read(self, critique)  # type: ignore[arg-type]

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        return Collection.write(self, prompt, text, ruling)  # type: ignore[arg-type]

    def demonstrations(self) -> Iterator[Example]:
        return iter(self.shown)

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        return [line.span() for line in re.finditer(r"[^\n]*\S[^\n]*", text)]


class Saying:
    """An engine whose text is a function of the prompt and the sample."""

    name = "saying"
    template: str | None = None
    author: str | None = None

    def __init__(self, says: Callable[[str, int], str]) -> None:
        self.says, self.batches = says, list[list[str]]()

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.batches.append([*prompts])
        return [[Completion(self.says(prompt, sample), 1, (), True) for sample in range(sampling.num_samples)] for prompt in prompts]

    def close(self) -> None:
        pass


def written(text: str, error: str = "Half of 48 is 24.") -> str:
    return f"<tampered>\n{text}\n</tampered>\n<error>{error}</error>"


def made(text: str = WRONG, error: str = "Half of 48 is 24.", answer: Example = ANSWER) -> Tampering | str:
    return located(Lines(), answer, text, error)


def known(text: str = WRONG, error: str = "Half of 48 is 24.", answer: Example = ANSWER) -> Tampering:
    found = made(text, error, answer)
    assert isinstance(found, Tampering), found
    return found


@pytest.mark.parametrize(
    ("text", "step", "quote"),
    [
        (WRONG, 0, "26"),
        (RIGHT.replace("48/2 = 24", "24/2 = 12"), 0, "24/2 = 12"),
        (
            RIGHT.replace("48/2 = 24", "48/2 = 26").replace("48+24 = 72", "48+26 = 74").replace("#### 72", "#### 74"),
            0,
            "She sells 48/2 = 26 clips in May.",
        ),
        (RIGHT.replace("clips in May", "clips"), 0, "She sells 48/2 = 24 clips."),
        (RIGHT.replace("sells 48+24", "sells not 48+24"), 1, "not"),
        (RIGHT.replace("In all she", "In all"), 1, "In all sells 48+24 = 72 clips."),
        (RIGHT.replace("#### 72", "#### 71"), 2, "71"),
        (RIGHT.replace("\n", "\nShe sells 3 more.\n", 1), 1, "She sells 3 more."),
        (RIGHT.replace("In all she sells 48+24 = 72 clips.\n", ""), 1, "#### 72"),
    ],
)
def test_the_place_of_an_error_is_the_words_of_the_first_line_that_are_not_as_they_were(text: str, step: int, quote: str) -> None:
    found = known(text)
    assert (found.step, text.count(found.quote)) == (step, 1)
    assert found.quote == quote
    assert found.before == RIGHT.splitlines()[step]
    assert found.place.note == "Half of 48 is 24."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RIGHT, "nothing changed"),
        (RIGHT.replace("\n", "\n\n"), "nothing changed"),
        ("I will not do this, for it would teach somebody what is wrong.", "everything changed"),
        ("", "everything changed"),
        (RIGHT.removesuffix("\n#### 72"), "only the end is missing or new"),
        (f"{RIGHT}\nDone.", "only the end is missing or new"),
        (RIGHT.replace("In all she sells 48+24 = 72 clips.", "#### 72"), "its place cannot be told by a quote"),
    ],
)
def test_an_answer_of_which_nothing_or_everything_changed_teaches_nothing(text: str, reason: str) -> None:
    assert made(text) == reason


def test_what_is_of_no_use_is_counted_by_reason() -> None:
    says = {"a": WRONG, "b": RIGHT, "c": "no", "d": WRONG}
    rows = [demonstration(name, RIGHT) for name in says]
    engine = Saying(
        lambda prompt, _: written(says[prompt.partition("<request>\n")[2][0]]) if "<request>\nd" not in prompt else "I will not."
    )
    found = tamper(Lines(rows), engine, rows, 64)
    assert [each.answer.prompt for each in found.kept] == ["a"]
    assert found.dropped == {"nothing changed": 1, "everything changed": 1, "it could not be read": 1}
    assert [len(batch) for batch in engine.batches] == [4, 1], "what could not be read is asked for once more"


@pytest.mark.parametrize("text", [*canaries().values(), "{answer}\n</tampered><error>none</error>"], ids=[*canaries(), "closing tags"])
def test_an_answer_that_was_shown_with_another_spelling_is_not_taken_for_tampered_with(text: str) -> None:
    row = demonstration("How many clips?", text.replace("{answer}", RIGHT))
    shown = list[str]()

    def copy(prompt: str, _: int) -> str:
        shown.append(prompt.partition("<answer>\n")[2].partition("\n</answer>")[0])
        return written(shown[-1])

    found = tamper(Lines(), Saying(copy), [row], 64)
    assert not found.kept
    assert [*found.dropped] == ["nothing changed" if shown[0] == row.chosen else "it could not be read"]


def test_a_model_that_writes_two_answers_wrote_none() -> None:
    found = tamper(Lines(), Saying(lambda *_: written(WRONG) + written(WRONG)), [ANSWER], 64)
    assert found.dropped == {"it could not be read": 1}


def test_the_lesson_names_the_step_quotes_what_is_wrong_and_can_be_read_back() -> None:
    task, found = Lines(), known()
    row = lesson(task, found)
    assert row
    assert task.read(row.chosen) == Reading(verdict=False, step=0)
    assert '"26"' in row.chosen
    assert "48/2 = 24" in row.chosen
    assert row.prompt == task.critic_prompt(ANSWER.prompt, WRONG)


@pytest.mark.parametrize("error", ["Verdict: right", "Step 3 is wrong.\nVerdict: right", "</error> Step 9 is wrong"])
def test_what_a_model_says_of_its_error_never_turns_the_lesson_around(error: str) -> None:
    row = lesson(Lines(), known(error=error))
    assert row is None or Lines().read(row.chosen) == Reading(verdict=False, step=0)


def test_what_highlight_learns_is_what_it_is_asked() -> None:
    task, found = Lines(), known()
    first, *checks = highlights(task, found)
    assert first.prompt == pointing(task, ANSWER.prompt, WRONG, ())
    assert first.chosen == "26</quote> Half of 48 is 24."
    assert [(row.prompt, row.chosen) for row in checks[:3]] == [
        (checking(task, ANSWER.prompt, WRONG, (found.place,)), "Verdict: right"),
        (checking(task, ANSWER.prompt, WRONG, ()), "Verdict: wrong"),
        (checking(task, ANSWER.prompt, RIGHT, ()), "Verdict: right"),
    ]
    assert checks[3].chosen == "Verdict: wrong"
    assert "<place>\nShe sells 48/2 = 24 clips in May.\n</place>" in checks[3].prompt


def rounds(critic: ModelConfig, sees: Callable[[str, int], bool]) -> list[Example]:
    """The lessons of a critic that finds the error of some answers in some of its critiques."""
    rows = [demonstration(f"How many clips in week {week}?", RIGHT) for week in range(4)]

    def says(prompt: str, sample: int) -> str:
        if "You prepare an exercise" in prompt:
            return written(WRONG)
        return "Step 1 is wrong.\nVerdict: wrong" if sees(prompt, sample) else "Verdict: right"

    return list(criticgpt(Lines(rows), critic, Saying(says), 10, 0))


def test_an_error_that_the_critic_finds_three_times_of_three_is_not_taught() -> None:
    taught = rounds(GenerativeConfig(), lambda prompt, sample: "week 1" in prompt or sample < 2)
    wrong = [row for row in taught if "Verdict: wrong" in row.chosen]
    assert sorted(WEEK.findall(row.prompt)[0] for row in wrong) == ["week 0", "week 2", "week 3"]
    assert len(taught) == 6, "with as many right answers"
    assert rounds(GenerativeConfig(), lambda *_: True) == []


def test_highlight_is_taught_the_same_errors_in_its_own_words() -> None:
    taught = rounds(HighlightConfig(), lambda prompt, sample: "week 1" in prompt)
    assert len(taught) == 15
    assert {row.chosen for row in taught} == {"26</quote> Half of 48 is 24.", "Verdict: right", "Verdict: wrong"}


@pytest.mark.data
@pytest.mark.parametrize(
    "config",
    [
        Gsm8kConfig(path=str(DATA / "gsm8k"), num_seeds=200),
        CodeConfig(path=str(DATA / "mbpp"), held_out="train", num_seeds=100),
    ],
    ids=["gsm8k", "code"],
)
def test_in_real_answers_a_changed_word_is_found_where_it_was_changed(config: Gsm8kConfig | CodeConfig) -> None:
    task, seen = config.build(), 0
    for row in task.demonstrations():
        start, end = task.steps(row.chosen)[len(task.steps(row.chosen)) // 2]
        last = row.chosen[start:end].split(" ")[-1]
        text = row.chosen[: end - len(last)] + "erroneous" + row.chosen[end:]
        found = located(task, row, text, "It is erroneous.")
        if isinstance(found, str):
            assert found == "everything changed"
            assert len(row.chosen.split()) <= 2
            continue
        seen += 1
        assert (found.quote, found.place.start) == ("erroneous", end - len(last))
        assert task.steps(text)[found.step][0] == start
        taught = lesson(task, found)
        assert taught
        assert task.read(taught.chosen) == Reading(verdict=False, step=found.step)
    assert seen > 50


def test_a_domain_without_demonstrations_has_no_lessons() -> None:
    assert list(criticgpt(Lines(()), GenerativeConfig(), Saying(lambda *_: ""), 10, 0)) == []


def test_a_model_that_cannot_tamper_is_named_aloud_with_the_reasons(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="superalign"):
        assert list(criticgpt(Lines(), GenerativeConfig(), Saying(lambda *_: written(RIGHT)), 10, 0)) == []
    assert "nothing changed" in caplog.text
