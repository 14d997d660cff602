"""Signals of collapse in a learner's own answers: nothing here knows which of them are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from superalign.engines import Completion
from superalign.studies.collapse import Signals
from superalign.studies.collapse.likelihood import Reading
from superalign.studies.numbers import mean
from superalign.validation.collapse.diversity import Corpus, entropy_of

WORDS, TEXTS = 4, 200
"""How long, and how many, the answers are that lexical diversity is computed on: it falls with both."""

Final = Callable[[str], str | None]


def signals(answers: Sequence[Sequence[Completion]], held: Reading, final: Final) -> Signals:
    """The signals of one generation.

    Args:
        answers: Samples of the same prompts as in every generation, equally many of each.
        held: How it reads held-out demonstrations.
        final: The answer a text ends in.
    """
    every = list(chain.from_iterable(answers))
    ends = [[final(answer.text) for answer in group] for group in answers]
    counts = [np.array([*Counter(group).values()]) for group in ends]
    corpus = _corpus([group[sample].text for sample in range(len(answers[0])) for group in answers])
    rows = np.arange(TEXTS)
    return Signals(
        distinct_2=corpus.distinct(rows, 2) if corpus else None,
        self_bleu=corpus.self_bleu(rows) if corpus else None,
        unique_share=float(np.mean([len({answer.text for answer in group}) / len(group) for group in answers])),
        agreement=float(np.mean([count.max() / count.sum() for count in counts])),
        entropy=float(np.mean([entropy_of(count) for count in counts])),
        logprob=mean([answer.mean_logprob for answer in every]),
        length=float(np.mean([answer.num_tokens for answer in every])),
        margin=mean([_margin(group, own) for group, own in zip(answers, ends, strict=True)]),
        demonstrations=held.repeated,
        errors=held.errors,
        likelihood=held.likelihood,
        calibrated=held.calibrated,
        tail=held.tail,
    )


def _corpus(texts: Sequence[str]) -> Corpus | None:
    """The first texts that are long enough; None where they are fewer than in other generations, for then nothing compares."""
    long = [text for text in texts if len(text.split()) >= WORDS][:TEXTS]
    return Corpus(long, WORDS) if len(long) == TEXTS else None


def _margin(group: Sequence[Completion], ends: Sequence[str | None]) -> float | None:
    """How much more likely the samples are that end in the commonest answer; None where all do."""
    commonest = Counter(ends).most_common(1)[0][0]
    chosen = mean([answer.mean_logprob for answer, end in zip(group, ends, strict=True) if end == commonest])
    rejected = mean([answer.mean_logprob for answer, end in zip(group, ends, strict=True) if end != commonest])
    return None if chosen is None or rejected is None else chosen - rejected
