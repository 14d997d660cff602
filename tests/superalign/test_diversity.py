import math
import random
from collections import Counter

import pyarrow as pa
import pytest

from superalign.validation.collapse import compare, matched
from superalign.validation.diversity import distinct, entropy, lengths, unique_share

WORDS = "a b c d e f".split()


def texts(rng: random.Random, count: int, longest: int = 8) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randrange(longest))) for _ in range(count)]


def responses(answers: dict[str, list[list[str]]], finished: bool = True) -> pa.Table:
    """Answers of each query of each category."""
    rows = [
        {"query": f"{category}-{number}", "category": category, "sample": sample, "text": text, "finished": finished}
        for category, queries in answers.items()
        for number, samples in enumerate(queries)
        for sample, text in enumerate(samples)
    ]
    return pa.Table.from_pylist(rows)


def diverse(rng: random.Random, queries: int = 60, samples: int = 2, width: int = 500) -> list[list[str]]:
    return [
        [f"{rng.randrange(width)} plus {rng.randrange(width)} is {rng.randrange(width)}" for _ in range(samples)] for _ in range(queries)
    ]


def final(text: str) -> str | None:
    return text.split()[-1] if text else None


def fell(now: pa.Table, earlier: pa.Table) -> dict[str, float | None]:
    return {measure.name: measure.change for measure in compare(now, earlier, final)}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distinct_n_counts_the_different_n_grams_within_texts(n: int) -> None:
    given = texts(random.Random(n), 40)
    grams = [tuple(words[i : i + n]) for words in map(str.split, given) for i in range(len(words) - n + 1)]
    assert distinct(pa.array(given), n) == len(set(grams)) / len(grams)
    assert distinct(pa.chunked_array([given[:13], given[13:]]), n) == len(set(grams)) / len(grams)


def test_no_n_gram_reaches_over_the_end_of_a_text() -> None:
    assert distinct(pa.array(["a b", "a b", "b", "", "  "]), 2) == 0.5


def test_distinct_of_texts_shorter_than_n_is_unknown() -> None:
    assert distinct(pa.array(["a", "b", ""]), 2) is None


def test_length_is_in_words_and_blank_texts_have_none() -> None:
    assert lengths(pa.array(["a b  c", "", " \n", " d "])).tolist() == [3, 0, 0, 1]


def test_unique_share_is_a_mean_over_queries_not_over_texts() -> None:
    assert unique_share(pa.array(list("xyyyy")), pa.array(["a", "b", "b", "b", "b"])) == pytest.approx((1 + 1 / 4) / 2)


def test_entropy_is_that_of_the_observed_shares() -> None:
    given = random.Random(0).choices("abc", k=50)
    assert entropy(given) == pytest.approx(-sum(n / 50 * math.log(n / 50) for n in Counter(given).values()))
    assert entropy(["a", "a", None]) == pytest.approx(entropy([1, 1, 2]))
    assert entropy([]) is None


def test_rounds_are_compared_on_equally_many_queries_of_each_category() -> None:
    rng = random.Random(0)
    left, right = matched(
        responses({"a": diverse(rng, 30), "b": diverse(rng, 10)}), responses({"a": diverse(rng, 12), "c": diverse(rng, 9)})
    )
    assert left["category"].to_pylist() == right["category"].to_pylist() == ["a"] * 24


def test_a_round_that_only_asks_other_categories_more_often_has_not_collapsed() -> None:
    rng = random.Random(0)
    narrow, wide = [["yes it is", "yes it is"]] * 200, diverse(rng, 200)
    now, earlier = responses({"narrow": narrow, "wide": wide[:60]}), responses({"narrow": narrow[:60], "wide": wide[60:]})
    assert all(change is not None and abs(change) < 0.05 for change in fell(now, earlier).values())


def test_a_larger_round_with_the_same_answers_has_not_collapsed() -> None:
    rng = random.Random(0)
    changes = fell(responses({"a": diverse(rng, 900)}), responses({"a": diverse(rng, 100)}))
    assert all(change is not None and abs(change) < 0.1 for change in changes.values())


def test_a_single_answer_to_everything_is_seen_by_every_measure_but_length() -> None:
    rng = random.Random(0)
    changes = fell(responses({"a": [["1 plus 1 is 2"] * 2] * 60}), responses({"a": diverse(rng)}))
    assert all(changes[name] is not None and (changes[name] or 0) < -0.4 for name in changes if name != "length")
    assert changes["length"] == 0


def test_samples_that_grow_alike_are_fewer_unique_answers_and_nothing_else() -> None:
    unsure = diverse(random.Random(0), 200, samples=4)
    changes = fell(responses({"a": [[samples[0]] * 4 for samples in unsure]}), responses({"a": unsure}))
    assert changes.pop("unique_share") == pytest.approx(-0.75, abs=0.01)
    assert set(changes.values()) == {0}


def test_answers_cut_short_are_seen_by_length_alone() -> None:
    rng = random.Random(0)
    now = [[text.split()[0] for text in samples] for samples in diverse(rng)]
    assert fell(responses({"a": now}), responses({"a": diverse(rng)}))["length"] == pytest.approx(-0.8)


def test_the_drift_is_that_of_the_category_that_changed_most_either_way() -> None:
    rng = random.Random(0)
    plain, short, long = diverse(rng), [["a b c"] * 2] * 60, [["a b c d e f"] * 2] * 60
    changes = fell(responses({"a": short, "b": long}), responses({"a": plain, "b": plain}))
    assert changes["length"] == pytest.approx(-0.4)


def test_learning_to_end_is_no_drift_of_length() -> None:
    rng = random.Random(0)
    rambling = pa.concat_tables([responses({"a": diverse(rng)}), responses({"b": [["so " * 90] * 2] * 60}, finished=False)])
    now = responses({"a": diverse(rng), "b": diverse(rng)})
    assert abs(fell(now, rambling)["length"] or 0) < 0.1


def test_more_samples_a_query_are_no_loss_of_unique_answers() -> None:
    rng = random.Random(0)
    many, few = (
        [[rng.choice(["a b", "c d", "e f"]) for _ in range(8)] for _ in range(400)],
        [["a b", "c d"], ["a b", "a b"], ["e f", "a b"]] * 100,
    )
    assert abs(fell(responses({"a": many}), responses({"a": few}))["unique_share"] or 1) < 0.1


def test_without_an_earlier_round_there_is_a_value_and_nothing_to_hold_it_against() -> None:
    found = compare(responses({"a": diverse(random.Random(0))}), None, final)
    assert all(measure.value is not None and measure.baseline is None and measure.change is None for measure in found)


def test_too_few_shared_texts_are_not_compared() -> None:
    rng = random.Random(0)
    found = compare(responses({"a": diverse(rng, 5)}), responses({"a": diverse(rng, 5)}), final)
    assert all(measure.baseline is None and "too few" in measure.detail for measure in found)
