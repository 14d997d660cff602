"""A toy domain, sums of one to four digits, and rounds made of it by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from superalign.artifacts import Artifact
from superalign.config import Config
from superalign.domains import Dimension, Lesson, Reading, Ruling, Task
from superalign.domains.pieces import Draft
from superalign.errors import DataError
from superalign.records import Critique, Example, Feedback, Label, Query, Response, content_id, example_id


def query(prompt: str, category: str = "sum-1", attacker: str = "seeds") -> Query:
    return Query(id=content_id(prompt), prompt=prompt, category=category, attacker=attacker, seed=content_id(prompt))


class ToyTask(Task):
    """Sums: ``12+7=`` is of ``sum-2``, and ``7+12=`` is the same problem."""

    name = "toy"
    criterion = "The sum is right."
    system: str | None = None
    dimensions: Mapping[str, Dimension] = {"correctness": Dimension("the sum is right", verified=True)}

    def taxonomy(self) -> Sequence[str]:
        return ("sum-1", "sum-2")

    def seeds(self) -> Iterator[Query]:
        rng = random.Random(0)
        yield from (query(self.draw(category, rng), category) for category in self.taxonomy() for _ in range(5))

    def demonstrations(self) -> Iterator[Example]:
        for a in range(5):
            for b in range(5):
                yield demonstration(f"{a}+{b}=", f"{a + b}")

    def category(self, prompt: str) -> str | None:
        numbers = prompt.removesuffix("=").split("+")
        return f"sum-{max(map(len, numbers))}" if all(number.isdigit() for number in numbers) else None

    def neighbours(self, category: str) -> Sequence[str]:
        size = int(category.split("-")[1])
        return tuple(f"sum-{other}" for other in (size - 1, size + 1) if 1 <= other <= 4)

    def draw(self, category: str, rng: random.Random) -> str:
        size = int(category.split("-")[1])
        return f"{rng.randrange(10 ** (size - 1), 10**size)}+{rng.randrange(10**size)}="

    def normalise(self, prompt: str) -> str:
        return "+".join(sorted(prompt.removesuffix("=").split("+")))

    def final(self, text: str) -> str | None:
        return text.split()[-1] if text.split() else None

    def steps(self, text: str) -> Sequence[tuple[int, int]]:
        return [(0, len(text))] if text else []

    def hinted(self, prompt: str, answer: str) -> str | None:
        return f"{prompt}{answer}!"

    def revising(self, prompt: str, text: str, critique: str, earlier: Sequence[tuple[str, str]] = ()) -> Draft | None:
        return Draft(f"{prompt}{''.join(f'{old}~' for old, _ in earlier)}{text}~") if critique else None

    def critic_prompt(self, prompt: str, text: str) -> str:
        return f"{prompt}{text}?"

    def read(self, critique: str) -> Reading | None:
        return Reading(verdict=critique == "right", step=None)

    def write(self, prompt: str, text: str, ruling: Ruling) -> str | None:
        return "right" if ruling.right else "wrong"

    def lessons(self, num_lessons: int, rng: random.Random) -> Iterator[Lesson]:
        yield from ()


class ToyTruth:
    """Exact sums; its benchmark may not be read."""

    def verify(self, prompt: str, text: str) -> Ruling:
        if ToyTask().category(prompt) is None:
            raise DataError(f"{prompt!r} is no sum")
        total = sum(int(number) for number in prompt.removesuffix("=").split("+"))
        right = ToyTask().final(text) == str(total)
        return Ruling(right=right, step=None if right else 0, correction=None if right else str(total))

    def benchmark(self, part: Literal["gate", "benchmark"]) -> Iterator[Query]:
        raise AssertionError("the benchmark is sealed")


class ToyConfig(Config):
    """The toy domain."""

    type: Literal["toy"] = "toy"

    def build(self) -> ToyTask:
        return ToyTask()

    def truth(self) -> ToyTruth:
        return ToyTruth()


def demonstration(prompt: str, answer: str, source: str = "human:seed") -> Example:
    return Example(id=example_id(prompt, answer), prompt=prompt, chosen=answer, category="sum-1", source=source)


def judged(
    prompt: str, text: str, score: float, agreement: float = 0.5, category: str = "sum-1", source: str = "critic:generative"
) -> Feedback:
    """Feedback on one answer."""
    name = content_id(prompt)
    return Feedback(
        id=content_id(name, text),
        query=name,
        prompt=prompt,
        text=text,
        category=category,
        score=score,
        agreement=agreement,
        source=source,
    )


def label(prompt: str, text: str, verdict: bool | None, category: str = "sum-1", reason: Literal["audit", "uncertain"] = "audit") -> Label:
    """A simulated human's label of the answer that ``judged`` makes."""
    name = content_id(prompt)
    return Label(
        id=content_id(name, text, "human:simulated"),
        response=content_id(name, text),
        query=name,
        prompt=prompt,
        text=text,
        category=category,
        reason=reason,
        verdict=verdict,
        annotator="human:simulated",
    )


class ToyRound:
    """A round's artifacts, written from feedback: what was asked, answered and criticised."""

    def __init__(self, folder: str, feedback: Iterable[Feedback]) -> None:
        self.folder, self.feedback = folder, list(feedback)
        asked = {row.query: query(row.prompt, row.category) for row in self.feedback}
        self.queries = Artifact.write(f"{folder}/queries.parquet", Query, asked.values())
        self.responses = Artifact.write(f"{folder}/responses.parquet", Response, map(self._response, self.feedback))
        critiques = [
            *(self._critique(row, "generative") for row in self.feedback),
            *(self._critique(row, "consistency") for row in self.feedback),
        ]
        self.critiques = Artifact.write(f"{folder}/critiques.parquet", Critique, critiques)

    def labels(self, labels: Iterable[Label]) -> Artifact:
        return Artifact.write(f"{self.folder}/labels.parquet", Label, labels)

    def _response(self, row: Feedback) -> Response:
        return Response(
            id=row.id,
            query=row.query,
            sample=0,
            text=row.text,
            num_tokens=1,
            mean_logprob=None,
            finished=True,
            policy="0",
            engine="echo",
        )

    def _critique(self, row: Feedback, critic: str) -> Critique:
        score = row.score if critic == "generative" else row.agreement
        verdict = None if row.source == "unjudged" and critic == "generative" else score > 0.5
        return Critique(
            id=content_id(row.id, critic),
            response=row.id,
            critic=critic,
            text=row.critique if critic == "generative" else "",
            verdict=verdict,
            score=score,
            confidence=max(score, 1 - score),
            step=row.step,
            spans=row.spans,
        )
