"""Weak to strong (arXiv 2312.09390): does a student learn more than its weak supervisor knows?

Half the training set with true labels makes a weak model, whose own labels of the other half make a student; the same half with true
labels makes the student's ceiling. Students begin, as supervisors do, from a body that has read unlabelled text of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from superalign.config import Config
from superalign.records import Record
from superalign.studies.grid import GridConfig

Task = Literal["verification", "generation", "truthfulqa", "personas", "harmless"]
Method = Literal["weak", "specialists", "ceiling", "naive", "confidence", "filter", "ensemble", "bootstrap"]
"""The three who are no students, and how students learn."""
METHODS: tuple[Method, ...] = ("naive", "confidence", "filter", "ensemble", "bootstrap")
PUBLIC: tuple[Task, ...] = ("truthfulqa", "personas", "harmless")
"""Tasks made of public text."""


class Size(Config):
    """A size of model."""

    hidden: int = Field(ge=32, le=4096, multiple_of=32)
    """Width."""
    layers: int = Field(ge=1, le=64)
    """Depth."""


class Passes(Config):
    """How something is trained."""

    learning_rate: float = Field(gt=0, le=1)
    """Peak learning rate."""
    epochs: int = Field(ge=1, le=1000)
    """Passes over the rows."""
    batch_size: int = Field(ge=1)
    """Rows an optimizer step."""


class Material(Config):
    """What is learnt and tested on."""

    folder: str | None = None
    """Folder of the public data sets, each a folder in it; where it is given, the tasks on public text and the recorded models are in."""
    num_train: int = Field(default=8000, ge=8)
    """Items of both halves together, at most."""
    num_written: int = Field(default=1000, ge=8)
    """The same for generation, where a student is trained as a whole."""
    num_test: int = Field(default=2000, ge=4)
    """Test items, at most; of public text no more than a quarter."""
    num_asked: int = Field(default=600, ge=4)
    """The same for generation, where every model writes answers to all of them."""
    num_corpus: int = Field(default=40_000, ge=8)
    """Unlabelled texts that a body reads, at most."""
    slips: float = Field(default=0.3, ge=0, le=1)
    """Share of the unlabelled written answers with a wrong step."""


class WeakToStrongConfig(GridConfig):
    """Every weaker supervisor with every stronger student, on arithmetic and on public text."""

    name: ClassVar[str] = "weak-to-strong"
    axes: ClassVar[Mapping[str, Any]] = {"rng_seeds": True, "tasks": True, "material": {"folder"}}
    sizes: tuple[Size, ...] = Field(
        default=(Size(hidden=32, layers=2), Size(hidden=64, layers=3), Size(hidden=128, layers=4), Size(hidden=192, layers=6)), min_length=2
    )
    """The models, from the smallest: about 50k, 0.2, 0.9 and 3 million parameters on arithmetic, more where there are more words."""
    tasks: tuple[Task, ...] = Field(default=("verification", "generation"), min_length=1)
    """Is this written answer right; write the answer; is this true; would somebody of that character say this; which reply is harmless."""
    material: Material = Material()
    """What is learnt and tested on."""
    rng_seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Random seeds: of the halves and of all training upon the bodies. Bodies and test items are the same for all of them."""
    reading: Passes = Passes(learning_rate=2e-3, epochs=1, batch_size=32)
    """How a body reads."""
    head: Passes = Passes(learning_rate=3e-3, epochs=20, batch_size=64)
    """How a classifier, a linear layer over what a body makes of a text, is trained."""
    writing: Passes = Passes(learning_rate=1e-3, epochs=4, batch_size=32)
    """How a body is trained to write answers."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the student's own hardened labels in the auxiliary confidence loss."""
    alpha_largest: float = Field(default=0.75, ge=0, le=1)
    """That weight for students of the largest size."""
    warmup: float = Field(default=0.2, ge=0, le=1)
    """Share of the training over which that weight rises."""
    keep: float = Field(default=0.5, gt=0, le=1)
    """Share of the weak labels, the surest, that filtering keeps."""
    specialists: int = Field(default=3, ge=2, le=10)
    """Weak supervisors of an ensemble, each trained on a share of the categories."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if any(small.hidden * small.layers >= large.hidden * large.layers for small, large in pairwise(self.sizes)):
            raise ValueError("sizes go from the smallest to the largest: each wider or deeper than the one before")
        if self.material.folder is None and set(self.tasks) & set(PUBLIC):
            raise ValueError(f"tasks {', '.join(PUBLIC)} are made of public text; name its folder with material.folder=FOLDER")
        return self

    @classmethod
    def quick(cls) -> Self:
        """Sizes that take a minute or two and tell nothing."""
        return cls(
            sizes=(Size(hidden=32, layers=1), Size(hidden=32, layers=2), Size(hidden=64, layers=2)),
            rng_seeds=(0,),
            material=Material(num_train=200, num_written=80, num_test=50, num_corpus=400),
        )

    @property
    def asked(self) -> tuple[Task, ...]:
        """The tasks: those named, and with a data folder those of public text."""
        return tuple(dict.fromkeys((*self.tasks, *(PUBLIC if self.material.folder else ()))))

    def reads(self, task: Task) -> Material:
        """The material of a task; arithmetic is the same with a folder and without."""
        return self.material if task in PUBLIC else self.material.model_copy(update={"folder": None})

    def parts(self, task: Task) -> list[Self]:
        """What is run of a task at once: all seeds, which share what bodies make of the items; of generation, which takes long, one."""
        seeds = [(rng_seed,) for rng_seed in self.rng_seeds] if task == "generation" else [self.rng_seeds]
        return [self.model_copy(update={"tasks": (task,), "material": self.reads(task), "rng_seeds": some}) for some in seeds]


class Scored(Record):
    """What one model got right of the test items."""

    kind: ClassVar[str] = "scores"
    task: str
    """The task."""
    rng_seed: int
    """Random seed."""
    method: Method
    """What it is, or how it learnt."""
    weak: int | None
    """Index of its supervisor's size; None where it learnt from the truth."""
    size: int
    """Index of its own size."""
    right: str
    """A 1 for every test item it got right and a 0 for every other, in order."""
    agreement: float | None
    """Share of the test items on which it says what its supervisor says, right or wrong; None without a supervisor."""

    @property
    def accuracy(self) -> float:
        """Share of the test items it got right."""
        return self.right.count("1") / len(self.right)

    @property
    def cell(self) -> str:
        """What it is a part of, beside its seed."""
        return self.task

    @property
    def round(self) -> int:
        """There are no rounds."""
        return 0

    @property
    def metrics(self) -> dict[str, float]:
        """Its accuracy, by a name of its own."""
        taught = "" if self.weak is None else f"{self.weak}_to_"
        return {f"{self.method}_{taught}{self.size}": self.accuracy}
