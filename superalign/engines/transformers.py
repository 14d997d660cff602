"""Generation with transformers on CPU or GPU: under a token budget, prompts read once for all samples, continuous batching."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import transformers

from superalign.chat import Chat, fitting
from superalign.engines import Completion, Sampling
from superalign.engines.cache import attend
from superalign.engines.decoding import Decoder, Row
from superalign.errors import EngineError
from superalign.models import load

if TYPE_CHECKING:
    from superalign.engines import TransformersConfig
    from superalign.policy import Policy


class Transformers:
    """A causal language model of a local folder or hub id."""

    author: str | None = None

    def __init__(self, config: TransformersConfig, policy: Policy, system: str | None = None) -> None:
        self.name, self.who = f"transformers {transformers.__version__}", f"the {policy.role} in {policy.path}"
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        self.device = torch.device(device)
        self.tokenizer, self.model = load(policy, dtype=config.dtype, device=device, trust_remote_code=config.trust_remote_code)
        self.model.eval()
        attend(self.model)
        self.chat = Chat(self.tokenizer, system)
        self.template, self.stops = self.chat.template, frozenset(self.chat.stops())
        self.decoder = Decoder(self.model, self.stops, config.batch_size, config.max_batch_tokens)

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Completions of each prompt; see ``Engine.generate``. Equal inputs and seed give equal text on one machine.

        What is drawn for a prompt depends on nothing else in the call but how often the prompt came before; only the rounding of sums
        depends on the rows beside it. A prompt that leaves no room for an answer in the model's context is one bad query and no reason
        to stop: its answers are empty and unfinished.

        Raises:
            EngineError: No prompt fits, one alone does not fit into memory, or the model gives no finite log-probabilities.
        """
        encoded = self.chat.encode(prompts)
        fits = fitting(encoded, sampling.max_tokens, getattr(self.model.config, "max_position_embeddings", None))
        seen: Counter[str] = Counter()
        groups: list[list[Row]] = []
        for prompt, ids in zip(prompts, encoded, strict=True):
            seen[prompt] += 1
            groups.append([Row(ids, f"{seen[prompt]}\x1f{prompt}", sample) for sample in range(sampling.num_samples)])
        asked = [groups[index] for index in fits]
        if drafts is not None and sampling.num_samples == 1 and sampling.temperature == 0:
            self.decoder.check([group[0] for group in asked], self._drafts([drafts[index] for index in fits], sampling.max_tokens))
        self.decoder.write([row for group in asked for row in group], sampling, rng_seed)
        return [[self._completion(row) for row in group] for group in groups]

    def close(self) -> None:
        """Drops the weights."""
        self.__dict__.pop("model", None)
        self.__dict__.pop("decoder", None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _drafts(self, drafts: Sequence[str], max_tokens: int) -> list[list[int]]:
        texts = self.tokenizer(list(drafts), add_special_tokens=False)["input_ids"] if drafts else []
        return [[*ids, self.chat.end][:max_tokens] for ids in texts]

    def _completion(self, row: Row) -> Completion:
        if not all(map(math.isfinite, row.logprobs)):
            raise EngineError(
                f"{self.who} gives a token the log-probability {next(value for value in row.logprobs if not math.isfinite(value))}: its "
                "weights hold what is no finite number, as after a training that diverged; name another model, or fetch it again"
            )
        finished = bool(row.tokens) and row.tokens[-1] in self.stops
        body = row.tokens[:-1] if finished else row.tokens
        return Completion(
            text=str(self.tokenizer.decode(body, skip_special_tokens=True)),
            num_tokens=len(row.tokens),
            logprobs=tuple(min(0.0, value) for value in row.logprobs),
            finished=finished,
            tokens=tuple(self.tokenizer.convert_ids_to_tokens(row.tokens)),
        )
