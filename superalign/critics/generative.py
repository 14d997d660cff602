"""A trained language model that writes its critique: which step is wrong and what it should be, or that none is.

Writing the critique before the verdict (generative verifiers, arXiv 2408.15240) trains far better than a bare verdict,
since every token is supervised. The score is a half, plus or minus half the probability the critic gives to what it wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from superalign.domains import Ruling, Task
from superalign.engines import Completion, Engine, Sampling
from superalign.records import Critique, Query, Response, content_id

if TYPE_CHECKING:
    from superalign.critics import GenerativeConfig


class Generative:
    """The critic over one engine."""

    def __init__(self, config: GenerativeConfig, task: Task, engine: Engine, policy_md5: str) -> None:
        self.task, self.engine, self.policy = task, engine, policy_md5
        self.sampling = Sampling(num_samples=1, temperature=0, max_tokens=config.max_tokens)

    def critique(self, pairs: Sequence[tuple[Query, Response]]) -> Iterator[Critique]:
        """One critique a pair; equal answers to one query are judged once."""
        prompts: dict[str, str] = {}
        for query, response in pairs:
            prompts.setdefault(self.task.critic_prompt(query.prompt, response.text), self._draft(query, response))
        written = self.engine.generate(list(prompts), self.sampling, 0, drafts=list(prompts.values()))
        by_prompt = dict(zip(prompts, (group[0] for group in written), strict=True))
        for query, response in pairs:
            yield self._record(response, by_prompt[self.task.critic_prompt(query.prompt, response.text)])

    def _draft(self, query: Query, response: Response) -> str:
        """What the critic will write if it finds nothing wrong."""
        return self.task.write(query.prompt, response.text, Ruling(right=True)) or ""

    def _record(self, response: Response, written: Completion) -> Critique:
        text, reading = written.text, self.task.read(written.text) if written.finished else None
        name = content_id(response.id, "generative", self.policy, text)
        said = Critique(
            id=name, response=response.id, critic="generative", policy=self.policy, text=text, verdict=None, score=0.5, confidence=0
        )
        if reading is None:
            error = "the critique has no verdict" if written.finished else "the critique did not end within critic.max_tokens"
            return said.model_copy(update={"error": error})
        confidence = math.exp(math.fsum(written.logprobs)) if written.logprobs else None
        certainty = 1.0 if confidence is None else confidence
        # A hesitant "wrong" must stay below a hesitant "right": the whole text's probability is small for both.
        score = 0.5 + certainty / 2 if reading.verdict else 0.5 - certainty / 2
        return said.model_copy(update={"verdict": reading.verdict, "score": score, "confidence": confidence, "step": reading.step})
