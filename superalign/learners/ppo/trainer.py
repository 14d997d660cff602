"""TRL's trainer with a value head, over answers whose log-probabilities were worked out before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import trl
from datasets import Dataset  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file
from trl.trainer.utils import disable_dropout_in_model

from superalign.learners import batches, training
from superalign.learners.ppo.loss import Fit, advantages, objective
from superalign.learners.ppo.rollouts import collate, length

if TYPE_CHECKING:
    from superalign.learners.ppo import PpoConfig

HEAD = "value_head.safetensors"
"""The head's weights in a checkpoint; the policy that comes out has none."""


class Trainer(trl.SFTTrainer):
    """TRL's trainer, in an order of ours, with the loss of policy and value."""

    def __init__(self, config: PpoConfig, order: list[int], **given: Any) -> None:
        self.config, self.order = config, order
        self.spread = 1.0
        """What advantages are divided by."""
        super().__init__(**given)
        self.model_accepts_loss_kwargs = True  # the loss is a mean over the tokens of a step, in however many parts it is read
        self.seen = torch.zeros(2, device=self.args.device)
        """Sum of the divergence since it was last logged, and of how many tokens."""
        inner: Any = batches.base(self.model)
        self.hidden: Any = None
        inner.base_model.register_forward_hook(self._look)
        batches.lean(inner)

    def _look(self, _module: Any, _inputs: Any, output: Any) -> None:
        """Keeps what the value head reads of a forward pass."""
        self.hidden = output.last_hidden_state

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The mean over the tokens of a step, as much of it as is in ``inputs``."""
        found = model(input_ids=inputs["input_ids"], labels=inputs["labels"], fused_lm_head=True)
        values = model.value_head(self.hidden)[..., 0].float()
        batch = {"new": found.log_probs, "values": values.where(found.label_mask, 0.0), "imitated": inputs["imitated"]}
        batch |= {name: inputs[name][:, 1:] for name in ("old", "rewards")}
        loss, apart = objective(self.config, self.spread, batch)
        counted = (found.label_mask & ~inputs["imitated"]).sum()
        self.seen += torch.stack([(apart * found.label_mask).sum(), counted]).detach()
        return (loss * found.label_mask).sum() / num_items_in_batch

    def log(self, logs: dict[str, float], *given: Any) -> None:
        """Logs the mean divergence beside the loss."""
        total, tokens = self.seen.tolist()
        self.seen.zero_()
        if "loss" in logs and tokens:
            logs["kl"] = total / tokens
        super().log(logs, *given)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the policy; in a checkpoint the head beside it."""
        model: Any = self.model
        head = model.value_head
        del model.value_head
        super().save_model(output_dir, _internal_call)
        model.value_head = head
        if _internal_call:
            save_file(head.state_dict(), Path(str(output_dir)) / HEAD)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        head: Any = self.model
        head.value_head.load_state_dict(load_file(Path(resume_from_checkpoint) / HEAD))


def trainer(config: PpoConfig, model: Any, tokenizer: Any, encoded: list[dict[str, Any]], folder: Path, rng_seed: int) -> Trainer:
    """The trainer over answers and demonstrations."""
    lengths = [length(row) for row in encoded]
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    disable_dropout_in_model(model)
    model.value_head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1)
    made = Trainer(
        config,
        batches.arrange(lengths, config.batch_size, config.epochs, rng_seed),
        model=model,
        args=trl.SFTConfig(**training.arguments(config, lengths, folder, rng_seed), remove_unused_columns=False),
        train_dataset=Dataset.from_list(encoded),
        processing_class=tokenizer,
        data_collator=lambda rows: collate(rows, pad),
    )
    made.train_dataset = Dataset.from_list([row | {"old": old} for row, old in zip(encoded, begin(made, encoded), strict=True)])
    return made


@torch.no_grad()
def begin(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Each token's log-probability before training; the value head is fitted to what came of the answers.

    Longest rows first, so that what does not fit in memory shows at once.
    """
    config, head, size = trainer.config, trainer.model.value_head, trainer.args.per_device_train_batch_size
    fit, known = Fit(head.in_features), dict[int, list[float]]()
    longest = sorted(range(len(rows)), key=lambda row: -length(rows[row]))
    for start in range(0, len(rows), size):
        chunk = longest[start : start + size]
        inputs = trainer._prepare_inputs(trainer.data_collator([rows[row] for row in chunk]))
        with trainer.accelerator.autocast():
            found = trainer.model(input_ids=inputs["input_ids"], labels=inputs["labels"], fused_lm_head=True)
        known |= zip(chunk, (line[mask].tolist() for line, mask in zip(found.log_probs, found.label_mask, strict=True)), strict=True)
        drawn, rewards = found.label_mask & ~inputs["imitated"], inputs["rewards"][:, 1:]
        fit.add(trainer.hidden[drawn], advantages(rewards, torch.zeros_like(rewards), config.gamma, 1.0)[drawn])
    weights, error = fit.solve()
    head.weight.copy_(weights[None, :-1])
    head.bias.copy_(weights[-1:])
    trainer.spread = error if config.normalise else 1.0
    return [known[row] for row in range(len(rows))]
