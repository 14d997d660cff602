"""In parts: an engine that puts to the one below, part by part, what is too long for its policy to write in one go.

Decomposition makes a weak learner stronger than it is, and trained on what comes of that it is as strong without (iterated amplification,
arXiv 1810.08575).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from superalign.domains import Task
from superalign.domains.pieces import Part
from superalign.engines import Completion, Engine, Sampling


class InParts:
    """The engine below, asked for ``steps`` steps of an answer at a time wherever the domain can put a prompt in parts."""

    def __init__(self, engine: Engine, task: Task, steps: int) -> None:
        self.engine, self.task, self.steps = engine, task, steps
        self.name, self.template, self.author = f"{engine.name}, {steps} steps at a time", engine.template, engine.author

    def divides(self, prompt: str) -> bool:
        """Whether a prompt is put in parts."""
        return self.task.next_part(prompt, "", self.steps) is not None

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """As the engine below, but that the completion of a prompt in parts is its parts joined; it ends where a part is none."""
        size, one = sampling.num_samples, sampling.model_copy(update={"num_samples": 1})
        asked = [prompt for prompt in prompts for _ in range(size)]
        answers = [Completion("", 0, (), finished=False)] * len(asked)
        parts = {row: self.task.next_part(prompt, "", self.steps) or Part(prompt, None) for row, prompt in enumerate(asked)}
        turn = 0
        while parts:
            written = self.engine.generate([part.prompt for part in parts.values()], one, rng_seed + turn)
            going = {row: self._take(said, part.keep) for (row, part), (said,) in zip(parts.items(), written, strict=True)}
            answers = [_joined(answer, going[row][0]) if row in going else answer for row, answer in enumerate(answers)]
            after = {row: self.task.next_part(asked[row], answers[row].text, self.steps) for row, (_, goes) in going.items() if goes}
            parts, turn = {row: part for row, part in after.items() if part}, turn + 1
        return [answers[start : start + size] for start in range(0, len(answers), size)]

    def close(self) -> None:
        """Closes the engine below."""
        self.engine.close()

    def _take(self, said: Completion, keep: int | None) -> tuple[Completion, bool]:
        """What counts of a part, and whether there is more to come."""
        steps = self.task.steps(said.text)
        if keep is None or len(steps) < keep:
            return said, False
        end = steps[keep - 1][1]
        count = sum(reached < end for reached in accumulate(map(len, said.tokens))) + 1 if said.tokens else len(said.text[:end].split())
        return Completion(said.text[:end], count, said.logprobs[:count], finished=False, tokens=said.tokens[:count]), True


def _joined(before: Completion, said: Completion) -> Completion:
    return Completion(
        before.text + said.text,
        before.num_tokens + said.num_tokens,
        before.logprobs + said.logprobs if bool(before.logprobs) == bool(said.logprobs) or not before.text else (),
        said.finished,
        before.tokens + said.tokens,
    )
