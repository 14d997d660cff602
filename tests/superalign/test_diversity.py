from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from superalign.validation.collapse.diversity import VOCABULARY, Corpus, expected_distinct, lengths

MEASURES = ("self_bleu", "compression", "repetition", "entropy")


def texts(seed: int, count: int, words: int = 12, width: int = 40) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(f"w{rng.randrange(width)}" for _ in range(words)) for _ in range(count)]


def everything(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count)


def test_only_the_common_length_of_each_text_counts() -> None:
    given = texts(0, 30)
    longer = [f"{text} and much more that nobody measures {index}" for index, text in enumerate(given)]
    one, other, rows = Corpus(given, 12), Corpus(longer, 12), everything(30)
    assert [one.distinct(rows, n) for n in (1, 2, 3, 4)] == [other.distinct(rows, n) for n in (1, 2, 3, 4)]
    assert [getattr(one, name)(rows) for name in MEASURES] == [getattr(other, name)(rows) for name in MEASURES]


def test_a_selection_is_measured_as_if_it_were_all_there_is() -> None:
    given = texts(1, 40)
    chosen = np.array([3, 17, 18, 30, 39])
    alone, whole, rows = Corpus([given[row] for row in chosen], 12), Corpus(given, 12), everything(5)
    assert [whole.distinct(chosen, n) for n in (1, 2, 3, 4)] == [alone.distinct(rows, n) for n in (1, 2, 3, 4)]
    assert [getattr(whole, name)(chosen) for name in MEASURES] == pytest.approx([getattr(alone, name)(rows) for name in MEASURES])


def test_the_order_of_the_texts_changes_nothing_but_how_they_deflate() -> None:
    corpus, order = Corpus(texts(2, 30), 12), np.random.default_rng(0).permutation(30)
    for name in ("self_bleu", "repetition", "entropy"):
        assert getattr(corpus, name)(order) == pytest.approx(getattr(corpus, name)(everything(30)), rel=1e-12)


def test_identical_texts_are_each_others_words() -> None:
    corpus = Corpus(["one two three four five six"] * 20, 6)
    assert corpus.self_bleu(everything(20)) == pytest.approx(1)
    assert corpus.distinct(everything(20), 2) == pytest.approx(5 / expected_distinct(100, VOCABULARY**2))


def test_texts_without_a_common_word_have_no_self_bleu() -> None:
    corpus = Corpus([" ".join(f"{text}-{word}" for word in range(6)) for text in range(20)], 6)
    assert corpus.self_bleu(everything(20)) == 0
    assert corpus.distinct(everything(20), 4) == pytest.approx(1)


def test_a_text_that_repeats_itself_is_not_matched_by_one_occurrence_elsewhere() -> None:
    twice, once = "a a b c d", "a x y z w"
    other = "q r s t u"
    shared = Corpus([twice, once, other], 5)
    # Of "a a b c d" one word of five is matched, not two.
    assert shared.self_bleu(np.array([0, 1])) == pytest.approx(np.exp((np.log(1 / 5) + sum(np.log(0.1 / n) for n in (4, 3, 2))) / 4))


def test_what_is_too_short_for_an_n_gram_has_no_measure_of_it() -> None:
    corpus = Corpus(["a b", "c d"], 2)
    rows = everything(2)
    assert corpus.distinct(rows, 3) is None
    assert corpus.self_bleu(rows) is None
    assert corpus.repetition(rows) is None
    assert corpus.distinct(rows, 2) == pytest.approx(1)


def test_nothing_selected_has_no_measure() -> None:
    corpus, none = Corpus(texts(3, 5), 12), np.array([], dtype=np.int64)
    assert [corpus.distinct(none, 1), *(getattr(corpus, name)(none) for name in MEASURES)] == [None] * 5
    assert corpus.drift(none, everything(5)) is None


def test_drift_is_nothing_between_equal_texts_and_ln_2_between_strangers() -> None:
    corpus = Corpus([*["a b c d"] * 5, *["a b c d"] * 5, *["w x y z"] * 5], 4)
    assert corpus.drift(np.arange(5), np.arange(5, 10)) == pytest.approx(0, abs=1e-12)
    assert corpus.drift(np.arange(5), np.arange(10, 15)) == pytest.approx(np.log(2))


def test_expected_distinct_is_one_of_one_draw_and_all_of_endless_ones() -> None:
    assert expected_distinct(1, 50) == pytest.approx(1)
    assert expected_distinct(10**6, 50) == pytest.approx(50)
    assert expected_distinct(1000, VOCABULARY**4) == pytest.approx(1000)


def test_length_is_in_words_and_blank_texts_have_none() -> None:
    assert lengths(pa.array(["a b  c", "", " \n", " d "])).tolist() == [3, 0, 0, 1]


def test_scripts_without_spaces_have_a_word_a_character() -> None:
    assert lengths(pa.array(["今天天气", "日本 go", "plain words"])).tolist() == [4, 3, 2]
