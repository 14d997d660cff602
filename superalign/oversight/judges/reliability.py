"""Reliability of judges without labels: Dawid and Skene's model of who confuses what (Applied Statistics 28, 1979), fitted by EM.

Each item has one true class, each judge a confusion matrix, and judges err independently of each other given the class. Verdicts alone
cannot tell this from its mirror image, in which every class is called by another's name and every judge is wrong: beginning with the
share of votes, and a prior by which every judge is a little more often right than wrong, exclude that. Fewer than three judges tell
nothing of each other, and judges that share their errors look better than they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superalign.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE = -1
"""A verdict that was not given."""
RIGHT, WRONG = 2.0, 1.0
"""Verdicts that the prior adds to each cell of a confusion matrix, on the diagonal and beside it."""
STEPS = 5000
CLOSE = 1e-7
"""Change of every probability below which EM has arrived."""


@dataclass(frozen=True)
class Reliability:
    """What verdicts alone show of judges and items."""

    classes: Floats
    """How frequent each class is, ``(classes,)``."""
    confusion: Floats
    """Probability of each verdict given the true class, ``(judges, classes, verdicts)``."""
    items: Floats
    """Probability of each class of each item, ``(items, classes)``."""
    arrived: bool
    """Whether EM came to an end."""

    @property
    def informed(self) -> Floats:
        """How much better than chance each judge is: 0 for one whose verdicts do not depend on the class, 1 for one that is never wrong.

        The mean probability of the right verdict over the classes, rescaled; with two classes Youden's J, sensitivity plus specificity
        minus one.
        """
        size = len(self.classes)
        right: Floats = self.confusion.diagonal(axis1=1, axis2=2).mean(axis=1)
        return (right * size - 1) / (size - 1)


def dawid_skene(verdicts: Ints, classes: int = 2) -> Reliability:
    """The confusion matrices of judges and the true classes of items, from verdicts alone.

    Args:
        verdicts: ``(items, judges)``, numbers of classes; ``NONE`` where a judge gave none.
        classes: How many there are.

    Raises:
        DataError: There are no verdicts, or one is no class.
    """
    if verdicts.ndim != 2 or not verdicts.size or (verdicts == NONE).all():
        raise DataError(f"verdicts of shape {verdicts.shape} tell nothing of who is right; give a row an item and a column a judge")
    if classes < 2 or verdicts.min() < NONE or verdicts.max() >= classes:
        raise DataError(
            f"verdicts lie between {verdicts.min()} and {verdicts.max()} and there are {classes} classes; give 0 to classes - 1, or {NONE}"
        )
    # Items judged alike are one row with a weight: a few judges say a few things, however many items there are.
    rows, place, weights = np.unique(verdicts, axis=0, return_inverse=True, return_counts=True)
    said = (rows[:, :, None] == np.arange(classes)).astype(np.float64)
    prior = np.full((classes, classes), WRONG) + np.eye(classes) * (RIGHT - WRONG)
    likely = (said.sum(axis=1) + 1 / classes) / (said.sum(axis=(1, 2)) + 1)[:, None]  # begins with the share of votes
    for _ in range(STEPS):
        shares, confusion = _maximise(likely * weights[:, None], said, prior)
        expected = _expect(shares, confusion, said)
        change = float(np.abs(expected - likely).max())
        likely = expected
        if change < CLOSE:
            break
    return Reliability(shares, confusion, likely[place.reshape(-1)], change < CLOSE)


def _maximise(counts: Floats, said: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Frequencies and confusion matrices, given how many items of each class there probably are: posterior means."""
    confused = np.einsum("ik,ijv->jkv", counts, said) + prior
    shares = counts.sum(axis=0) + 1
    return shares / shares.sum(), confused / confused.sum(axis=2, keepdims=True)


def _expect(shares: Floats, confusion: Floats, said: Floats) -> Floats:
    """What each item probably is, given frequencies and confusion matrices."""
    logs = np.log(shares) + np.einsum("ijv,jkv->ik", said, np.log(confusion))
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)
