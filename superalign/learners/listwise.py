"""Listwise learning through TRL: a query's answers are ranked and the best is imitated, demonstrations are imitated, in the same step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.learners import Learner, TrainingConfig
from superalign.policy import Policy
from superalign.records import Example, Kind, Step

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

    from superalign.learners.launch import Job


class ListwiseConfig(TrainingConfig):
    """All of a query's answers are ranked, after a supervised pass; beside them the best is imitated, and demonstrations are."""

    needs: ClassVar[Kind | None] = "answers"
    type: Literal["listwise"] = "listwise"
    """Discriminator."""
    supervised: bool = True
    """Whether a supervised pass over the chosen answers comes first, whose result is the reference; else that is where it starts from."""
    loss: Literal["exo", "pro"] = "exo"
    """``exo``: the policy's distribution over the answers is brought to the rewards' (arXiv 2402.00856); ``pro``: each answer is told from
    all worse ones, the more the worse they are (arXiv 2306.17492), without a reference."""
    listwise_learning_rate: float = Field(default=3e-5, gt=0, le=1)
    """Peak learning rate of the listwise phase."""
    listwise_epochs: float = Field(default=1.0, gt=0, le=10_000)
    """Passes over queries and demonstrations in the listwise phase."""
    beta: float = Field(default=0.5, gt=0)
    """Weight of the log-ratio in ``exo``."""
    beta_r: float = Field(default=0.5, ge=1e-3)
    """Temperature of the scores in ``exo``: the lower, the less of the target is left for answers that are not the best."""
    sft_weight: float = Field(default=1.0, ge=0)
    """Weight of the supervised term: the negative log-probability a token of the best answer, or of a demonstration."""

    @property
    def imitates(self) -> bool:  # type: ignore[override]
        """Whether demonstrations are learnt: in the supervised pass, or beside the ranking."""
        return self.supervised or self.sft_weight > 0

    def build(self) -> Learner:
        """The learner."""
        return Listwise(self)


class Listwise:
    """Ranks answers."""

    def __init__(self, config: ListwiseConfig) -> None:
        self.config = config

    def learn(self, policy: Policy, data: Artifact, folder: Path, rng_seed: int, system: str | None = None) -> tuple[Policy, list[Step]]:
        """The policy after the supervised and the listwise phase."""
        from superalign.learners import launch

        return launch.learn(self.config, phases, launch.Job(policy, data, folder, rng_seed, system))


class Ranked(NamedTuple):
    """Answers to a prompt, the best first; one alone is a demonstration."""

    prompt: str
    texts: tuple[str, ...]
    scores: tuple[float, ...]


def ranked(row: Example) -> Ranked:
    """What an example says: its answers where their scores differ, a pair where one is rejected, else the chosen answer alone.

    Answers that were cut off are left out: they would be learnt as if they had ended there.
    """
    ended = [answer for answer in row.answers if answer.finished]
    if len({answer.score for answer in ended}) > 1:
        return Ranked(row.prompt, tuple(answer.text for answer in ended), tuple(answer.score for answer in ended))
    if row.rejected is not None and not row.answers:
        return Ranked(row.prompt, (row.chosen, row.rejected), (row.chosen_score, row.rejected_score or 0.0))
    return Ranked(row.prompt, (row.chosen,), (row.chosen_score,))


def phases(config: ListwiseConfig, job: Job) -> tuple[Path, list[Step]]:
    """The supervised and the listwise phase: the folder of the weights after both, and the steps of both."""
    from superalign.learners import sft, training, weights

    rows = [ranked(row) for row in training.examples(job.data)]
    if not any(len(row.texts) > 1 for row in rows):
        raise DataError(
            "there is nothing to rank: no query has answers of different scores; use learner.type=sft, or raise sampling.num_samples"
        )
    start, first = job.policy.verify(), list[Step]()
    if config.supervised:
        middle, first = sft.phase(config, job, job.folder / "sft")
        start = job.policy.model_copy(update={"path": middle.as_posix()})
    tokenizer, model = weights.load(config, start, job.rng_seed)
    encoded = encode(tokenizer, job.system, rows, getattr(model.config, "max_position_embeddings", None))
    folder = job.folder / "listwise"
    end, second = training.run(
        lambda: trainer(config, model, tokenizer, encoded, folder, job.rng_seed), config, folder, job.policy, "listwise"
    )
    return end, [*first, *second]


def encode(tokenizer: Any, system: str | None, rows: Sequence[Ranked], limit: int | None) -> list[dict[str, Any]]:
    """Token ids of prompts and their answers, with the answers' scores; rows longer than the model's context are left out, aloud."""
    from superalign.learners import training

    pairs = iter(training.encode(tokenizer, system, [(row.prompt, text) for row in rows for text in row.texts], None))
    encoded = []
    for row in rows:
        prompts, answers = zip(*(next(pairs) for _ in row.texts), strict=True)
        encoded.append({"prompt_ids": prompts[0], "answer_ids": list(answers), "scores": list(row.scores)})
    return training.within(encoded, [len(row["prompt_ids"]) + max(map(len, row["answer_ids"])) for row in encoded], limit)


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """The tensors of a batch: a line for each answer, those of one row together, and how many they are."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    answers = [(torch.tensor(row["prompt_ids"]), torch.tensor(ids)) for row in rows for ids in row["answer_ids"]]
    targets = [torch.cat([torch.full_like(prompt, -100), ids]) for prompt, ids in answers]
    batch = {
        "input_ids": pad_sequence([torch.cat(pair) for pair in answers], batch_first=True, padding_value=pad),
        "labels": pad_sequence(targets, batch_first=True, padding_value=-100),
        "sizes": torch.tensor([len(row["answer_ids"]) for row in rows]),
    }
    lines = {name: torch.tensor([value for row in rows for value in row[name]]) for name in ("scores", "reference") if name in rows[0]}
    return batch | lines


def reference(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Log-probabilities of all answers before training; longest rows first, so that what does not fit in memory shows at once."""
    import torch

    size, known = trainer.args.per_device_train_batch_size, dict[int, list[float]]()
    longest = sorted(range(len(rows)), key=lambda row: -length(rows[row]))
    for start in range(0, len(longest), size):
        chunk = longest[start : start + size]
        inputs = trainer._prepare_inputs(trainer.data_collator([rows[row] for row in chunk]))
        with torch.no_grad(), trainer.accelerator.autocast():
            logps, _ = likelihoods(trainer.model, inputs)
        known |= zip(chunk, (part.tolist() for part in logps.split(inputs["sizes"].tolist())), strict=True)
    return [known[row] for row in range(len(rows))]


def length(row: Mapping[str, Any]) -> int:
    """Tokens that the model reads of a row."""
    return sum(len(row["prompt_ids"]) + len(ids) for ids in row["answer_ids"])


def likelihoods(model: Any, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Each answer's log-probability, and its mean a token."""
    found = model(input_ids=inputs["input_ids"], labels=inputs["labels"], fused_lm_head=True)
    total = found.log_probs.sum(1)
    return total, total / found.label_mask.sum(1)


def mixed(config: ListwiseConfig, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """The loss of a batch: the mean over its rows, each with its supervised term, and those with several answers with their ranking."""
    import torch

    total, mean = likelihoods(model, inputs)
    ratio = config.beta * (total - inputs["reference"]) if config.loss == "exo" else mean
    split = (part.split(inputs["sizes"].tolist()) for part in (mean, ratio, inputs["scores"]))
    return torch.stack([_loss(config, *row) for row in zip(*split, strict=True)]).mean()


def _loss(config: ListwiseConfig, mean: torch.Tensor, ranks: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The loss of one row."""
    from superalign.learners import losses

    imitated = -config.sft_weight * mean[0]
    if len(mean) == 1:
        return imitated
    if config.loss == "pro":
        return imitated + losses.pro(ranks, scores)
    return imitated + losses.exo(ranks, (scores / config.beta_r).log_softmax(-1))


def trainer(config: ListwiseConfig, model: Any, tokenizer: Any, encoded: list[dict[str, Any]], folder: Path, rng_seed: int) -> SFTTrainer:
    """TRL's trainer over queries and demonstrations, in an order of ours, with the loss of both."""
    import trl
    from datasets import Dataset  # type: ignore[import-untyped]
    from trl.trainer.utils import disable_dropout_in_model

    from superalign.learners import batches, training

    class Trainer(trl.SFTTrainer):
        """TRL's, over lists of answers."""

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.model_accepts_loss_kwargs = False  # the loss is a mean over rows, however many tokens they have
            batches.lean(batches.base(self.model))

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _get_train_sampler(self, *_: Any) -> Any:
            return order

        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return mixed(config, model, inputs)

    lengths = [length(row) for row in encoded]
    order = batches.arrange(lengths, config.batch_size, config.listwise_epochs, rng_seed)
    given = training.arguments(config, lengths, folder, rng_seed) | {"learning_rate": config.listwise_learning_rate}
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    disable_dropout_in_model(model)
    rows = Dataset.from_list(encoded)
    made = Trainer(
        model=model,
        args=trl.SFTConfig(**given, remove_unused_columns=False),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=lambda batch: collate(batch, pad),
    )
    if config.loss == "exo":
        made.train_dataset = rows.add_column("reference", reference(made, encoded))
    return made
