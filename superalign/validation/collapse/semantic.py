"""Meaning: sentence embeddings of texts, and how far these lie apart. The embedding needs the extra `semantic`, the measures need numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superalign.errors import DataError

Floats = NDArray[np.float32] | NDArray[np.float64]

WEIGHTS = ["*.safetensors", "*.json", "*.txt", "*.model"]
"""Files fetched of a hub model: weights that need no unpickling, configurations, vocabularies; no code."""
LONGEST = 32768
"""Characters of a text that are embedded: models read a few hundred tokens, and what follows would only cost time."""


def embed(texts: list[str], model: str, batch_size: int = 64) -> NDArray[np.float32]:
    """Sentence embeddings, a row of length 1 a text.

    Args:
        texts: At least one.
        model: A folder, or the hub id, of a sentence-transformers model with safetensors; its own code is never run.
        batch_size: Texts embedded together.

    Raises:
        DataError: The extra is not installed, or the model cannot be loaded, or gives no usable vectors.
    """
    try:
        import huggingface_hub
        import safetensors
        import sentence_transformers
        import transformers
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise DataError(
            f"embedding texts needs a package that is missing ({error}); in the source tree, `.venv/bin/uv pip install -e '.[semantic]'`"
        ) from error

    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    try:
        folder = model if Path(model).is_dir() else huggingface_hub.snapshot_download(model, allow_patterns=WEIGHTS)
        _refuse_pickles(Path(folder))
        encoder = sentence_transformers.SentenceTransformer(
            folder, trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
        cut = [text[:LONGEST] for text in texts]
        # A tokenizer whose files are missing is made up without a word, and to it all texts of as many words are one.
        yes, no = encoder.encode(["yes", "no"], show_progress_bar=False)
        found = encoder.encode(cut, batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the embedding model {model!r} cannot be used ({why}); give a folder with a sentence-transformers model"
            " in safetensors, or a hub id such as 'sentence-transformers/all-MiniLM-L6-v2', which is fetched unless HF_HUB_OFFLINE is set"
        ) from error
    vectors = np.asarray(found, dtype=np.float32)
    if np.array_equal(yes, no) or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise DataError(
            f"the embedding model {model!r} gives vectors that are zero, not finite or all the same: its files are broken; give another"
        )
    return vectors


def mean_distance(vectors: Floats) -> float | None:
    """1 - mean cosine over all pairs of rows, in [0, 2]; None for fewer than two rows, none of which may be zero."""
    if len(vectors) < 2:
        return None
    unit, pairs = _unit(vectors), len(vectors) * (len(vectors) - 1)
    # The sum of all rows, squared, holds every pair twice and every row with itself once.
    total = unit.sum(axis=0)
    return max(0.0, 1 - (float(total @ total) - len(unit)) / pairs)


def vendi(vectors: Floats) -> float | None:
    """Vendi score (arXiv 2210.02410): the effective number of different rows, from 1 to their number; None without rows.

    It is the exponential of the entropy of the eigenvalues of the rows' cosines over their number. The covariance has the same
    eigenvalues apart from zeros, and is the smaller matrix where rows are many.
    """
    if not len(vectors):
        return None
    unit = _unit(vectors)
    kernel = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    shares = np.linalg.eigvalsh(kernel / len(unit))
    shares = shares[shares > 0]  # rounding leaves zeros a little below
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unit(vectors: Floats) -> NDArray[np.float64]:
    """The rows at length 1 in double precision, which single precision misses by 1e-7."""
    exact = vectors.astype(np.float64)
    return np.asarray(exact / np.linalg.norm(exact, axis=1, keepdims=True))


def _refuse_pickles(folder: Path) -> None:
    bare = [path for path in sorted(folder.rglob("pytorch_model.bin")) if not path.with_name("model.safetensors").is_file()]
    if bare:
        raise ValueError(f"{bare[0]} is no safetensors")
