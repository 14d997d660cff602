"""Batcher: one engine for many requests. What comes while it is busy is asked together as soon as it is free."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from superalign.engines import Completion, Engine, Sampling
from superalign.serving.requests import Refusal

QUEUE = 1024
"""Prompts that wait before others are turned away."""
Answers = dict[str, list[Completion]]


@dataclass
class Job:
    """Prompts of one request that wait, until ``batch`` is what will answer them."""

    prompts: Sequence[str]
    sampling: Sampling
    batch: asyncio.Future[Answers] | None = None


class Batcher:
    """Asks an engine from a thread of its own, one call at a time, oldest request first, those of equal sampling with it.

    All of it but ``_generate`` runs in the one thread of the event loop.
    """

    def __init__(self, engine: Engine, queue: int = QUEUE) -> None:
        self.engine, self.queue, self.closed = engine, queue, False
        self.waiting: list[Job] = []
        self.running: asyncio.Future[Answers] | None = None
        self.thread = ThreadPoolExecutor(1)

    async def ask(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        """Completions of each prompt, equal prompts answered once.

        Raises:
            Refusal: Too many wait already, or the server ends.
            EngineError: The engine cannot.
        """
        if sum(len(job.prompts) for job in self.waiting) >= self.queue:
            raise Refusal(f"{self.queue} prompts wait already; ask again in a moment", status=429)
        job = Job(prompts, sampling)
        self.waiting.append(job)
        while job.batch is None and not self.closed:
            if self.running is None or self.running.done():
                self._begin()
            else:
                await asyncio.wait([self.running])
        try:
            answers = await asyncio.shield(job.batch) if job.batch else {}
        except asyncio.CancelledError:
            if not self.closed:
                raise
        if self.closed:
            raise Refusal("the server ends", status=503)
        return [answers[prompt] for prompt in prompts]

    def close(self) -> None:
        """Turns away all who wait; a call of the engine that is under way goes on for nobody."""
        self.closed = True
        if self.running is not None:
            self.running.cancel()

    def _begin(self) -> None:
        """Begins a batch: the oldest request, and all that can be asked in the same call."""
        sampling = self.waiting[0].sampling
        batch = [job for job in self.waiting if job.sampling == sampling]
        self.waiting = [job for job in self.waiting if job.sampling != sampling]
        prompts = list(dict.fromkeys(prompt for job in batch for prompt in job.prompts))
        self.running = asyncio.get_running_loop().run_in_executor(self.thread, self._generate, prompts, sampling)
        for job in batch:
            job.batch = self.running

    def _generate(self, prompts: Sequence[str], sampling: Sampling) -> Answers:
        return dict(zip(prompts, self.engine.generate(prompts, sampling, 0), strict=True))
