import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from superalign.validation import duplicates
from superalign.validation.duplicates import Duplicates, find
from superalign.validation.duplicates.minhash import LEAST, Rows, Words, alike, hashed, missed
from superalign.validation.files.texts import Stored, held, normal

VOCABULARY = [f"w{number}" for number in range(2000)]


def changed(rng: random.Random, words: list[str], count: int) -> list[str]:
    """The words with ``count`` of them replaced."""
    words = list(words)
    for place in rng.sample(range(len(words)), count):
        words[place] = rng.choice(VOCABULARY)
    return words


def related(rng: random.Random, families: int) -> list[str]:
    """Texts of 5 to 60 words, and texts that share from half to all of theirs."""
    texts = []
    for _ in range(families):
        base = rng.choices(VOCABULARY, k=rng.randrange(5, 60))
        texts += [base, *(changed(rng, base, rng.randrange(1 + len(base) // 4)) for _ in range(rng.randrange(4)))]
    rng.shuffle(texts)
    return [" ".join(text) for text in texts]


def jaccard(left: str, right: str) -> float:
    one, other = set(left.split()), set(right.split())
    return len(one & other) / len(one | other)


def clusters_of(found: Duplicates) -> list[list[int]]:
    return [cluster.tolist() for cluster in found.clusters]


def linked(texts: list[str]) -> tuple[list[list[int]], int]:
    """The clusters that comparing every pair finds, and the number of alike pairs."""
    cluster, pairs = list(range(len(texts))), 0
    large = [len(set(text.split())) >= LEAST for text in texts]
    for high in range(len(texts)):
        for low in range(high):
            if texts[low] == texts[high] or (large[low] and large[high] and jaccard(texts[low], texts[high]) >= 0.8):
                pairs += 1
                old, new = cluster[high], cluster[low]
                cluster = [new if one == old else one for one in cluster]
    groups = [[row for row, one in enumerate(cluster) if one == name] for name in dict.fromkeys(cluster)]
    return sorted(group for group in groups if len(group) > 1), pairs


@pytest.mark.parametrize("rng_seed", range(3))
def test_clusters_are_those_that_comparing_every_pair_finds(rng_seed: int) -> None:
    texts = related(random.Random(rng_seed), 120)
    expected, pairs = linked(texts)
    assert pairs > 50
    assert sorted(clusters_of(find(held(texts)))) == expected


def test_pairs_at_the_threshold_are_found_as_often_as_is_said_and_others_never() -> None:
    rng, texts = random.Random(0), []
    for _ in range(2000):  # 36 of 45 different words shared: 0.8; 35 of 45: below
        words = rng.sample(VOCABULARY, 54)
        texts += [" ".join(words[:45]), " ".join(words[:36])]
    below = [" ".join(rng.sample(VOCABULARY, 45)) for _ in range(500)]
    texts += [text for one in below for text in (one, " ".join(one.split()[:35]))]
    found = find(held(texts))
    assert found.missed == missed(0.8) < 1e-3
    assert all(row % 2 == 0 and other == row + 1 < 4000 for row, other in clusters_of(found))
    assert len(found.clusters) >= 2000 * (1 - 3 * found.missed)


def test_a_repeat_needs_the_same_key_and_a_cluster_does_not() -> None:
    texts, keys = ["Yes, it is so today.", "yes it is so today", "YES - it is so, today!", "no"], ["a", "b", "A.", "a"]
    found = find(held(texts), held(keys))
    assert found.repeats.tolist() == [2]
    assert clusters_of(found) == [[0, 1, 2]] and found.clustered == 3
    assert find(held(texts)).repeats.tolist() == [1, 2]


def test_the_line_between_key_and_text_counts() -> None:
    assert find(held(["b c", "c"]), held(["a", "a b"])).repeats.tolist() == []


def test_short_texts_are_equal_or_they_are_not() -> None:
    found = find(held(["one two three four", "four three two one", "one two three four five", "five four three two one"]))
    assert clusters_of(found) == [[2, 3]] and found.repeats.tolist() == []


def test_texts_without_letters_or_digits_are_compared_as_they_are() -> None:
    assert find(held(["", "!!", "  ", "??", "!!", "😀"])).repeats.tolist() == [2, 4]


@pytest.mark.parametrize("texts", [[], ["one text of some six words"], [""], ["..."]])
def test_where_nothing_can_repeat_nothing_is_found(texts: list[str]) -> None:
    found = find(held(texts), held(texts))
    assert (found.repeats.tolist(), found.clusters) == ([], [])


def test_one_text_a_thousand_times_is_one_cluster() -> None:
    found = find(held(["the same seven words all over again"] * 1000))
    assert len(found.repeats) == 999 and clusters_of(found) == [list(range(1000))]


def test_many_variants_of_one_text_are_one_cluster_without_comparing_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    compared: list[int] = []

    def counted(left: Words, right: Words, pairs: tuple[Rows, Rows], threshold: float) -> NDArray[np.bool_]:
        compared.append(len(pairs[0]))
        return alike(left, right, pairs, threshold)

    looked_at = duplicates._apart
    seen: list[int] = []

    def watched(order: Rows, bucket: Rows, lag: int) -> tuple[Rows, Rows]:
        left, right = looked_at(order, bucket, lag)
        seen.append(len(left))
        return left, right

    monkeypatch.setattr(duplicates, "alike", counted)
    monkeypatch.setattr(duplicates, "_apart", watched)
    base = rng.sample(VOCABULARY, 60)
    texts = [" ".join(changed(rng, base, 2)) for _ in range(1500)]
    assert [len(cluster) for cluster in find(held(texts)).clusters] == [1500]
    assert sum(compared) < 10 * 1500 and sum(seen) < 2000 * 1500


@pytest.mark.parametrize("count", [30, 400])
def test_a_crowd_of_unlike_texts_ends_the_search_and_says_so(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    template = rng.sample(VOCABULARY, 60)
    texts = held([" ".join([*template, *rng.sample(VOCABULARY, 12)]) for _ in range(count)])
    assert (find(texts).missed is None) == (count > duplicates.LAGS + 1)
    monkeypatch.setattr(duplicates, "SMALL", 0)
    monkeypatch.setattr(duplicates, "EFFORT", 1)
    assert find(texts).missed is None


def test_pairs_are_compared_a_block_at_a_time_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = held(related(random.Random(3), 60))
    whole = clusters_of(find(texts))
    monkeypatch.setattr("superalign.validation.duplicates.minhash.TOGETHER", 50)
    monkeypatch.setattr("superalign.validation.duplicates.minhash.SKETCHED", 7)
    assert clusters_of(find(texts)) == whole


def test_a_text_of_millions_of_letters_is_compared_like_any_other() -> None:
    long = " ".join(f"{number:x}" for number in range(500_000))
    found = find(held(["short", long, long + " and more", long]))
    assert clusters_of(found) == [[1, 2, 3]] and found.repeats.tolist() == [3]


def test_batches_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = related(random.Random(1), 100)
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet", row_group_size=17)
    whole = find(held(texts))
    monkeypatch.setattr("superalign.validation.files.texts.BATCH", 13)
    parts = find(Stored(tmp_path / "texts.parquet", "text"))
    assert clusters_of(parts) == clusters_of(whole) and parts.repeats.tolist() == whole.repeats.tolist()


def test_a_words_hash_depends_on_the_word_alone() -> None:
    one, other = hashed(normal(pa.array(["a b c"]))), hashed(normal(pa.array(["x", "C, b!", ""])))
    assert one.hashes[[2, 1]].tolist() == other.hashes[1:].tolist()
    assert other.offsets.tolist() == [0, 1, 3, 3]
    assert np.unique(one.hashes).size == 3


def test_short_texts_are_repeats_and_in_no_cluster() -> None:
    found = find(held(["True", "True", "true.", "no idea", "no idea"]))
    assert found.repeats.tolist() == [1, 2, 4]
    assert found.clusters == []
