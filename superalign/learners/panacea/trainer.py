"""Training for preferences that are drawn: rows of all dimensions, one loss of their losses, merged when it is saved at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trl
from datasets import Dataset  # type: ignore[import-untyped]
from torch.nn import functional
from trl.trainer.utils import disable_dropout_in_model

from superalign.learners import batches, listwise, losses, training
from superalign.learners.panacea import FOLDER, POINTS, PanaceaConfig, Point, svd

NUM_HELD, NUM_POINTS = 64, 20
"""Examples of a dimension that are not trained on, at most a tenth; and preferences that are drawn, for which their losses are told."""
Encoded = Sequence[tuple[list[int], ...]]
"""Token ids of prompts and their answers."""


def divided(encoded: Sequence[Encoded], rng_seed: int) -> tuple[list[Encoded], list[Encoded]]:
    """What is trained on of each dimension, and a few examples apart; an example is on one side only, however often it is there."""
    rng, shown, held = random.Random(rng_seed), list[Encoded](), list[Encoded]()
    for rows in encoded:
        different = list({str(row): row for row in rows}.values())
        apart = rng.sample(different, min(NUM_HELD, len(different) // 10))
        held.append(apart)
        shown.append([row for row in rows if row not in apart])
    return shown, held


def together(encoded: Sequence[Encoded], rng_seed: int) -> list[dict[str, Any]]:
    """Rows of one example of each dimension: all of the largest one's, and the others' over and over, shuffled anew each time."""
    size, rng, columns = max(map(len, encoded)) if all(encoded) else 0, random.Random(rng_seed), []
    for rows in encoded:
        order: list[int] = []
        while len(order) < size:
            order += rng.sample(range(len(rows)), len(rows))
        columns.append([{"prompt_ids": rows[index][0], "answer_ids": list(rows[index][1:])} for index in order[:size]])
    return [{"parts": list(parts)} for parts in zip(*columns, strict=True)]


def drawn(config: PanaceaConfig, rng_seed: int, step: int) -> list[float]:
    """The preference that a step trains for: any is as likely as another."""
    if not config.vary:
        return list(config.shares.values())
    return list(np.random.default_rng((rng_seed, step)).dirichlet(np.ones(len(config.shares))).tolist())


def summed(config: PanaceaConfig, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """The sum of each dimension's losses, nats, and over it how many there are: tokens that are imitated, or pairs; (2, D)."""
    total, _ = listwise.likelihoods(model, inputs)
    if config.loss == "sft":
        length = (inputs["labels"] != -100).sum(1).view(-1, len(config.preference))
        return torch.stack([-total.view_as(length).sum(0), length.sum(0)])
    ratio = config.beta * (total - inputs["reference"]).view(-1, len(config.preference), 2)
    each = -functional.logsigmoid(ratio[..., 0] - ratio[..., 1])
    return torch.stack([each, torch.ones_like(each)]).sum(1)


def separate(config: PanaceaConfig, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """The loss of each dimension, (D,): nats a token where answers are imitated, nats a pair where they are preferred."""
    found = summed(config, model, inputs)
    return found[0] / found[1]


def aggregated(config: PanaceaConfig, each: torch.Tensor, preference: Sequence[float]) -> torch.Tensor:
    """One loss of the dimensions' losses, of which none can be less than zero."""
    shares = torch.tensor(preference, dtype=each.dtype, device=each.device)
    return losses.weighted(each, shares) if config.aggregate == "weighted" else losses.tchebycheff(each, shares, torch.zeros_like(each))


class Trainer(trl.SFTTrainer):
    """TRL's, over several dimensions, with a preference of its own at each step."""

    def __init__(self, config: PanaceaConfig, order: list[int], held: list[dict[str, Any]], **given: Any) -> None:
        self.config, self.order, self.held = config, order, held
        super().__init__(**given)
        self.model_accepts_loss_kwargs = False  # each dimension's loss is a mean of its own
        batches.lean(self.model)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        """The aggregate of a batch, for the step's preference."""
        preference = drawn(self.config, self.args.seed, self.state.global_step)
        svd.prefer(model, preference)
        return aggregated(self.config, separate(self.config, model, inputs), preference)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A checkpoint as it is; at the end the weights for the recipe's preference, and beside them what moves them to others."""
        if not _internal_call and output_dir is not None:
            beside = Path(output_dir) / FOLDER if self.config.vary else None
            found = self.told() if beside and self.held else []
            svd.merge(self.model, self.config.shares, beside)
            if beside and found:
                (beside / "points.json").write_bytes(POINTS.dump_json(found, indent=1))
        super().save_model(output_dir, _internal_call)

    def told(self) -> list[Point]:
        """The losses of what was held out, for the recipe's preference, for each dimension alone, and for some drawn."""
        names, size = list(self.config.shares), self.args.per_device_train_batch_size
        alone = ([float(one == name) for one in names] for name in names)
        others = (drawn(self.config, self.args.seed, step) for step in range(NUM_POINTS))
        chunks = [self._prepare_inputs(self.data_collator(self.held[start : start + size])) for start in range(0, len(self.held), size)]
        found = list[Point]()
        for preference in (list(self.config.shares.values()), *alone, *others):
            svd.prefer(self.model, preference)
            with torch.no_grad(), self.accelerator.autocast():
                total, count = torch.stack([summed(self.config, self.model, chunk) for chunk in chunks]).sum(0)
            each = (total / count).tolist()
            found.append(Point(preference=dict(zip(names, preference, strict=True)), losses=dict(zip(names, each, strict=True))))
        return found


def trainer(
    config: PanaceaConfig,
    model: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    held: list[dict[str, Any]],
    folder: Path,
    rng_seed: int,
) -> Trainer:
    """TRL's trainer over rows of all dimensions."""
    lengths = [sum(map(listwise.length, row["parts"])) for row in rows]
    order = batches.arrange(lengths, config.batch_size, config.epochs, rng_seed)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    disable_dropout_in_model(model)
    made = Trainer(
        config,
        order,
        held,
        model=model,
        args=trl.SFTConfig(**training.arguments(config, lengths, folder, rng_seed), remove_unused_columns=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        data_collator=lambda batch: listwise.collate([part for row in batch for part in row.get("parts", [row])], pad),
    )
    if config.loss == "dpo":
        parts = [part for row in (*rows, *held) for part in row["parts"]]
        for part, known in zip(parts, listwise.reference(made, parts), strict=True):
            part["reference"] = known
        made.train_dataset = Dataset.from_list(rows)
    return made
