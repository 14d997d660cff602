import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from superalign.validation.files.texts import held
from superalign.validation.rows import REASONS
from superalign.validation.rows.loops import repetition
from superalign.validation.rows.sanity import flags

DATA = Path(os.environ.get("SUPERALIGN_DATA") or Path(__file__).parents[3] / "shared" / "data")
SOUND = [f"The {name} was there on {day}. We saw it twice, and then it left." for name in ("fox", "cat", "owl", "elk") for day in range(50)]
PROSE = "He put it down. After that there was nothing more to do but to wait for"
RUSSIAN = ["Это предложение номер один. Оно написано по-русски.", "Вот ещё одно предложение. Больше здесь ничего нет."]


def reason(text: str, among: list[str] = SOUND, prompt: str | None = None, finished: bool = True) -> str | None:
    """Why ``text`` may not be trained on, the last row of a file that is sound otherwise."""
    prompts = None if prompt is None else held(["Tell me."] * len(among) + [prompt])
    ends = np.array([True] * len(among) + [finished])
    found = flags(held([*among, text]), prompts, ends)
    assert list(found) == [name for name in REASONS if name in found]
    names = [name for name, rows in found.items() if len(rows)]
    assert len(names) <= 1 and all(found[name].tolist() == [len(among)] for name in names)
    return names[0] if names else None


def mojibake(text: str, page: str = "cp1252") -> str:
    return text.encode().decode(page)


@pytest.mark.parametrize("text", ["", " ", "\n\t\n", "\u3000", "\u00a0"])
def test_a_blank_text_is_empty(text: str) -> None:
    assert reason(text) == "empty"


@pytest.mark.parametrize(
    "text", ["a\x00b", "a\x1b[31m", "a\x85b", "a\ufffdb", "a\u202eb", "a" + "\u200b\u200c" * 2, "a\U000e0041\U000e0042"]
)
def test_characters_that_control_or_hide_are_named(text: str) -> None:
    assert reason(text) == "control characters"


@pytest.mark.parametrize(
    "text",
    [
        "two\r\n\tlines",
        "\u0646\u0627\u0645\u0647\u200c\u0647\u0627",
        "👩\u200d👩\u200d👧",
        "\ufeffstart",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_joiners_marks_and_flags_are_part_of_real_texts(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "à l\u2019été",
        "était",
        "naïve",
        "It\u2019s",
        "“so",
        "10 °C",
        "für",
        "a…",
        "a \u2013 b",
        "привет",
        "日本語です",
        "👍",
        "€5",
        "x ™",
    ],
)
def test_utf_8_read_as_another_encoding_is_named(text: str) -> None:
    assert reason(text) is None
    raw = text.encode()
    assert reason("".join(bytes([byte]).decode("cp1252", "replace") for byte in raw).replace("\ufffd", "€")) == "wrong encoding"


def test_cyrillic_read_as_its_own_old_encoding_is_named() -> None:
    assert reason(mojibake("Привет, как дела", "cp1251"), prompt="Translate it.") == "wrong encoding"


@pytest.mark.parametrize(
    "text",
    [
        "NÃO, À SUA IRMÃ.",
        "«IRMÃ»",
        "“IRMÔ",
        "São João, pão e maçã",
        "Â, â: î din a",
        "ÎNTÂI",
        "é… « été »",
        "ÐÆ ð Ísland",
        "Hà Nội, ĐÃ XONG",
        "à 10 °C",
        "RÔLE, CHÂTEAU",
    ],
)
def test_capitals_with_accents_are_no_wrong_encoding(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Sure.<|im_end|>",
        "<|start_header_id|>user",
        "Yes.<\uff5cend\u2581of\u2581sentence\uff5c>",
        "[INST] Why? [/INST]",
        "<<SYS>> Be kind. <</SYS>>",
        "Yes.<end_of_turn>",
        "Yes.</s>",
        "<s> Yes.",
        "<s> Yes. </s>",
        "Yes.</s></s>",
        "[[start]] Yes.",
        "Yes.\n\n### Instruction:\nNext.",
        "Yes.\n\nHuman: And now?",
        "Assistant: Yes.",
    ],
)
def test_what_a_chat_template_leaves_behind_is_named(text: str) -> None:
    assert reason(text) == "template leakage"


@pytest.mark.parametrize(
    "text",
    [
        "It costs <s>$10</s> $5.",
        "It costs $5, not <s>$10</s>",
        "<s>Old</s> and new.",
        "xs |> map f <| ys.",
        "The human: a study.",
        "We asked the user: why?",
        "### Results:\nGood.",
        "a[i] [1] [INSTANCE]",
    ],
)
def test_markup_and_prose_are_no_template(text: str) -> None:
    assert reason(text) is None


def test_a_role_that_most_rows_name_is_the_format_but_a_special_token_is_not() -> None:
    dialogues = [f"Human: Is it {n}?\n\nAssistant: It is." for n in range(9)]
    assert not any(map(len, flags(held([*dialogues, "It is."])).values()))
    tokens = [f"<|user|>Is it {n}?" for n in range(9)]
    assert flags(held([*tokens, "It is."]))["template leakage"].tolist() == list(range(9))


@pytest.mark.parametrize(
    "text", ["Look:\n```python\nprint(1)\n", '{"reasoning": "First, 2', '[{"a": [1, 2', '["one", "two', PROSE, PROSE + " the man,"]
)
def test_an_answer_that_breaks_off_is_unfinished(text: str) -> None:
    assert reason(text) == "unfinished"


def test_an_answer_that_its_maker_calls_unfinished_is_unfinished() -> None:
    assert reason("All is well.", finished=False) == "unfinished"


@pytest.mark.parametrize(
    "text",
    [
        "Look:\n```python\nprint(1)\n```",
        "Look:\n```python\nprint(1)```",
        '{"answer": "20"}\n```',
        '{"a": {"b": 1}} is what it says',
        '{"reasoning": "{ and { are braces", "answer": "2"}',
        "[1] is where it says so.",
        "[ [ { ( ) } ]",
        "The Curious Case of the Man who was Never There at All",
        "Yes. These are the things that we need:\n- a big one that is as long as a sentence may be",
        "Yes. See what they wrote about it all at https://example.com/a-page",
        "They said: never give up. Never, never, never give up at all - Winston Churchill",
        "The book about the ring and the king by J. R. R. Tolkien",
        "Yes, do. Like so:\n\n    return a and b and c and d and e and f or g",
        "Dear all. We are well and hope that so are you.\n\nYours,\nJohn",
        "It is 3 + 4. So the answer that we were looking for is 7",
    ],
)
def test_what_needs_no_full_stop_is_finished(text: str) -> None:
    assert reason(text) is None


def test_a_missing_full_stop_says_nothing_in_a_file_of_many() -> None:
    assert not any(map(len, flags(held([*SOUND, *([PROSE] * 20)])).values()))


@pytest.mark.parametrize(
    "text",
    [
        "I don't know. " * 12,
        "again and again and " * 8,
        "- Coffee filters\n" * 6,
        "Ja\n" * 5,
        "ah" * 30,
        "no!" * 20,
        "哈" * 60,
        "我不知道。" * 8,
        "0.4" + "18" * 40,
        "A good start, one must say so.\nThen:\n" + "Yes, yes\n" * 12,
    ],
)
def test_a_text_that_says_the_same_over_and_over_is_a_loop(text: str) -> None:
    assert reason(text, prompt="Translate it.") == "degenerate loop"


@pytest.mark.parametrize(
    "text",
    [
        "-" * 200,
        "Title\n" + "=" * 80 + "\nText.",
        "| a | b |\n|---|---|\n" + "| | |\n" * 40,
        "| n | square |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(40)),
        "".join(f"{n}. Take step {n * 7}.\n" for n in range(40)),
        "def f(x):\n" + "".join(f"    if x == {n}:\n        return {n * n}\n" for n in range(20)),
        "Row, row, row your boat, gently down the stream.\nMerrily, merrily, merrily, merrily, life is but a dream.",
        "No. No. No!",
        "{ } [ ] ( ) " * 20,
        "".join(f"| {n} | | | | | | | | | |\n" for n in range(30)),
        "ha ha ha ha ha ha ha ha",
        "Row the boat. Row the boat. Row the boat.",
    ],
)
def test_rulers_tables_lists_code_and_songs_are_no_loops(text: str) -> None:
    assert reason(text) is None


def test_a_run_does_not_reach_over_the_end_of_a_text() -> None:
    assert not any(map(len, flags(held(["a" * 26 + "b" * 24, "b" * 26 + "c" * 24])).values()))


@pytest.mark.parametrize(
    ("prompt", "expected"), [(None, "wrong language"), ("Who was it?", "wrong language"), ("Say it in Russian.", None), ("Что это?", None)]
)
def test_a_script_that_nobody_asked_for_is_the_wrong_language(prompt: str | None, expected: str | None) -> None:
    assert reason(RUSSIAN[0], prompt=prompt) == expected


def test_a_text_in_two_scripts_is_in_neither() -> None:
    assert reason("Слово «слово», слово: a word is a") is None
    assert reason("Слово «слово», слово: a") == "wrong language"


def test_english_is_the_wrong_language_among_russian_texts_but_code_that_was_asked_for_is_not() -> None:
    among = RUSSIAN * 10
    assert reason("I am sorry, I do not know.", among, prompt="Кто это?") == "wrong language"
    assert reason("print(sum(range(10)))", among, prompt="Как это в Python?") is None
    assert reason("x = 2 + 2 = 4", among, prompt="Сколько?") is None


def test_a_file_of_many_scripts_has_no_wrong_language() -> None:
    assert not len(flags(held([*SOUND[:5], *RUSSIAN]))["wrong language"])


def test_a_row_is_under_the_first_reason_that_holds() -> None:
    assert reason("<|im_end|>\x00" + "ah" * 30, finished=False) == "control characters"


def test_rows_are_counted_across_batches_and_a_file_may_be_empty() -> None:
    texts = ["Good."] * 40_000
    for row in (0, 2047, 2048, 16_383, 16_384, 39_999):
        texts[row] = ""
    assert flags(held(texts))["empty"].tolist() == [0, 2047, 2048, 16_383, 16_384, 39_999]
    assert {len(rows) for rows in flags(held([]), held([]), np.array([], dtype=np.bool_)).values()} == {0}


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_repetition_is_the_share_of_n_grams_that_came_before(n: int) -> None:
    rng = random.Random(n)
    texts = [" ".join(rng.choices(["a", "b", "ё", "日", "0"], k=rng.choice([0, 1, n - 1, n, n + 1, 30, 200]))) for _ in range(300)]
    texts += [" ".join(str(rng.randrange(10**6)) for _ in range(100)) for _ in range(900)]  # so many words that four do not fit in 63 bits
    grams = [[tuple(words[i : i + n]) for i in range(len(words) - n + 1)] for words in (text.split() for text in texts)]
    expected = [1 - len(set(each)) / len(each) if each else 0.0 for each in grams]
    assert repetition(pa.array(texts), n) == pytest.approx(expected, abs=1e-12)
    assert repetition(pa.array(texts)[7:], n).tolist() == repetition(pa.array(texts), n)[7:].tolist()


def test_nothing_repeats_where_there_is_nothing() -> None:
    assert repetition(pa.array([], pa.string())).tolist() == []
    assert repetition(pa.array(["", " ", "one two three"])).tolist() == [0, 0, 0]


def column(name: str, *keys: str) -> list[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set SUPERALIGN_DATA to the folder with the public data sets")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [str(row[key]) for key in keys for row in rows]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("gsm8k/train.jsonl.gz", ["answer"]),
        ("zeroeval_outputs/gsm.gemma-2-2b-it.jsonl.gz", ["output"]),
        ("zeroeval_outputs/gsm.Qwen2-7B-Instruct.jsonl.gz", ["output"]),
        ("hh_rlhf/harmless.jsonl.gz", ["chosen", "rejected"]),
        ("llmbar/instances_natural.jsonl.gz", ["output_1", "output_2"]),
        ("mbpp/mbpp.train.jsonl.gz", ["code"]),
        ("pandalm_testset/testset-v1.0-499.jsonl.gz", ["response1", "response2"]),
    ],
)
def test_little_of_what_people_train_on_is_flagged(name: str, keys: list[str]) -> None:
    texts = column(name, *keys)
    assert sum(map(len, flags(held(texts)).values())) < 0.05 * len(texts)


@pytest.mark.data
def test_the_loops_of_a_base_model_are_found() -> None:
    models, responses = (column("self_instruct/predictions.jsonl.gz", key) for key in ("model", "response"))
    texts = [text for model, text in zip(models, responses, strict=True) if model == "davinci-superni-ft"]
    loops = flags(held(texts))["degenerate loop"]
    assert 0.05 < len(loops) / len(texts) < 0.1
    assert repetition(pa.array(texts))[loops].mean() > 0.6
