"""RoundConfig: everything that decides a round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, get_args

from pydantic import Field, ValidationError

from superalign.attackers import SeedsConfig, WeaknessConfig
from superalign.config import Config
from superalign.critics.constitution import ConstitutionConfig
from superalign.critics.generative import GenerativeConfig
from superalign.critics.lessons import Lessons
from superalign.critics.panels import MembersConfig
from superalign.curation import BestVsWorstConfig, MajorityConfig
from superalign.curation.constitution import ConstitutionalConfig
from superalign.curation.rejection import RejectionConfig
from superalign.curation.robust import RobustConfig
from superalign.curation.spin import SpinConfig
from superalign.domains import ArithmeticConfig, CollectionConfig
from superalign.domains.arithmetic.task import BREVITY
from superalign.engines import AmplifyConfig, ReplayConfig, Sampling, TransformersConfig, VllmConfig
from superalign.errors import ConfigError
from superalign.evaluation import EvaluationConfig, PromotionConfig
from superalign.learners import SftConfig
from superalign.learners.panacea import PanaceaConfig
from superalign.learners.ppo import PpoConfig
from superalign.oversight import OversightConfig
from superalign.plugins import AttackerConfig, CriticConfig, CriticLearnerConfig, CuratorConfig, DomainConfig, EngineConfig, LearnerConfig
from superalign.teaching import teachable, two_path
from superalign.validation import WARNINGS, ValidationConfig


class Bases(Config):
    """The models a workspace begins with."""

    learner: str | None
    """Folder or hub id; None for the weights that are shipped with the domain."""
    critic: str | None
    """Folder or hub id; None for the weights that are shipped with the domain."""
    trust_remote_code: bool = False
    """Whether code that comes with them may run."""


class RoundConfig(Config):
    """One round of the loop. A recipe holds only what differs from these defaults."""

    recipe: str = "default"
    """Name of the recipe."""
    rng_seed: int = Field(default=0, ge=0, le=40_000)
    """Random seed of the whole round; with the round's number in it, it has to fit the 32 bits that NumPy takes."""
    domain: DomainConfig = ArithmeticConfig()
    """What is being aligned."""
    engine: EngineConfig = TransformersConfig()
    """How the round's answers are generated."""
    evaluation_engine: EngineConfig | None = None
    """How champion and candidate answer in the evaluation; None for ``engine``. A recording or a server does not know the candidate."""
    num_queries: int = Field(default=6000, ge=1, le=10_000_000)
    """Queries a round."""
    attackers: tuple[AttackerConfig, ...] = Field(default=(SeedsConfig(), WeaknessConfig()), min_length=1)
    """Who makes them, each with its share."""
    sampling: Sampling = Sampling()
    """How the learner's answers are sampled."""
    amplify: AmplifyConfig | None = None
    """How some of them are written in parts; None where all are written whole."""
    critic: CriticConfig = GenerativeConfig()
    """Whose verdicts count; agreement among samples is always recorded beside them."""
    own_judge: bool = False
    """Whether the learner's own weights judge in the place of the critic's, and are taught to (Self-Rewarding, arXiv 2401.10020)."""
    oversight: OversightConfig = OversightConfig()
    """The human budget."""
    curator: CuratorConfig = BestVsWorstConfig()
    """What to train on."""
    validation: ValidationConfig = ValidationConfig(warnings=(*WARNINGS, "near_duplicates", "unique_share"))
    """What the data must pass. Attackers ask alike on purpose, and a learner that grows sure answers alike: in a round both only warn."""
    learner: LearnerConfig = SftConfig()
    """How the learner is trained."""
    critic_learner: CriticLearnerConfig | None = SftConfig(learning_rate=3e-4, epochs=1.0)
    """How the critic is trained again on the human answers: `sft` where it writes, `reward` where it is a reward model; None leaves it."""
    lessons: Lessons = "composed"
    """What the critic learns beside the human answers: ``composed`` by the domain, right and wrong ones; ``adversarial``, of these the
    errors that it misses in one of three critiques; ``tampered``, errors that its own model put into human answers, chosen so too;
    ``two_path``, for a judge: what it says of the learner's answers beside a human one, where it says the same on two paths."""
    num_lessons: int = Field(default=3000, ge=0)
    """Lessons beside the human answers, at most; of ``tampered``, human answers tampered with. ``two_path`` makes three of a comparison."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    promotion: PromotionConfig = PromotionConfig()
    """What a candidate must pass to become champion."""

    @property
    def bases(self) -> Bases:
        """The models round 0 begins with; a critic that names none begins as the learner does.

        Raises:
            ConfigError: The domain ships no weights, and none are named; or a model for the critic alone.
        """
        learner, critic = self.learner.model, getattr(self.critic, "model", None)
        if learner is None and not isinstance(self.domain, ArithmeticConfig):
            raise ConfigError(
                f"the domain {self.domain.type} ships no weights: name a model, learner.model=FOLDER or a hub id, or learner.model=blank"
            )
        if learner is None and critic is not None:
            raise ConfigError("critic.model is named and learner.model is not; name both, or neither for the shipped weights")
        trusted = bool(getattr(self.engine, "trust_remote_code", False))
        return Bases(learner=learner, critic=critic or learner, trust_remote_code=trusted)

    def fitting(self) -> Self:
        """The recipe itself, once its parts go together.

        Raises:
            ConfigError: A part needs what no other gives; with the parts that would.
        """
        self._together()
        if not self._matched:
            parts = (("curator", CuratorConfig), ("learner", LearnerConfig))
            ways = [f"{name}.type to one of {', '.join(fit)}" for name, union in parts if (fit := sorted(self._instead(name, union)))]
            raise ConfigError(
                f"learner.type={self.learner.type} is trained on {self.learner.needs}, and curator.type={self.curator.type} makes "
                f"{' and '.join(sorted(self.curator.makes))}; set {', or '.join(ways) or 'both to others'}"
            )
        return self

    def _together(self) -> None:
        """ConfigError where parts do not go together, but for what the curator makes and the learner needs."""
        two_path(self)
        self._curated()
        self._criticised()
        self._judged()
        self._asked()
        self._shown()
        self._played_back()
        self._drawn()
        teachable(self)

    @property
    def _matched(self) -> bool:
        """Whether the curator makes what the learner needs; of a third party's, which says nothing of itself, nothing is asked."""
        made, needed = getattr(self.curator, "makes", None), getattr(self.learner, "needs", None)
        return made is None or needed is None or needed in made

    def _instead(self, name: str, union: Any) -> Iterator[str]:
        """Which parts, as they are by default, would go with all others in the place of one."""
        for part in get_args(get_args(union)[0]):
            try:
                other = self.model_copy(update={name: part()})
                other._together()
            except (ConfigError, ValidationError):  # a third party's may be nothing without settings
                continue
            if other._matched:
                yield part.model_fields["type"].default

    def _played_back(self) -> None:
        """ConfigError where something has to be written anew, and all there is is a recording."""
        way = "engine.type=replay only plays back what was recorded; set engine.type to one that generates, for example transformers"
        if isinstance(self.engine, ReplayConfig):
            if getattr(self.curator, "writes", False):
                raise ConfigError(f"curator.type={self.curator.type} has the learner write, and {way}, or another curator")
            if self.amplify is not None:
                raise ConfigError(f"amplify has answers written in parts, and {way}, or amplify=null")
            if isinstance(self.learner, PpoConfig):
                raise ConfigError(f"learner.type=ppo reinforces what the champion itself wrote, and {way}, or another learner")
            if isinstance(self.curator, SpinConfig):
                raise ConfigError(f"curator.type=spin learns from what the champion itself wrote, and {way}, or another curator")
            if isinstance(self.curator, RobustConfig) and self.curator.share != 1:
                raise ConfigError(f"curator.type=robust keeps the answers that the learner finds likeliest, and {way}, or curator.share=1")
        if isinstance(self.evaluation_engine or self.engine, ReplayConfig):
            raise ConfigError(
                "the candidate has to answer for itself, and a recording cannot; set evaluation_engine.type to one that generates, "
                "for example transformers"
            )

    def _drawn(self) -> None:
        """ConfigError where what is learnt from is not drawn as the policy draws it."""
        given, reinforced = self.sampling, getattr(self.learner, "needs", None) == "rollouts" and self._matched
        if self.amplify is not None and (reinforced or isinstance(self.curator, SpinConfig)):
            part = f"learner.type={self.learner.type} reinforces" if reinforced else "curator.type=spin learns from"
            raise ConfigError(f"{part} what the policy writes as it is, and amplify has answers written in parts; set amplify=null")
        if reinforced and (given.temperature, given.top_p) != (1, 1):
            raise ConfigError(
                f"learner.type={self.learner.type} reinforces what the policy draws as it is, and not at sampling.temperature="
                f"{given.temperature:g} and sampling.top_p={given.top_p:g}; set sampling.temperature=1 and sampling.top_p=1"
            )

    def _curated(self) -> None:
        """ConfigError where the curator asks for what critic or domain do not give."""
        if getattr(self.curator, "teaches", False) and self.critic_learner is None and not self.own_judge:
            raise ConfigError(
                f"curator.type={self.curator.type} makes lessons for the critic, and critic_learner=null teaches it nothing; "
                "give a critic_learner"
            )
        revised = self.critic.type != "panel" and any(isinstance(part, ConstitutionConfig) for part in self._judges)
        if isinstance(self.curator, ConstitutionalConfig) and not revised:
            raise ConfigError(
                f"curator.type=constitution learns from what the critic would write instead, and critic.type={self.critic.type} writes no "
                f"answers; set {'' if self.wordless else 'critic.type=constitution, or '}curator.type=refine, for which the learner writes "
                "them"
            )
        subject = self.domain.subject() if getattr(self.curator, "verifies", False) and isinstance(self.domain, CollectionConfig) else None
        if subject is not None and not any(dimension.verified for dimension in subject.dimensions.values()):
            raise ConfigError(
                f"curator.type={self.curator.type} compares final answers, and those of domain.type={subject.name} are judged by a "
                "critic alone, without a verifier; set curator.type=best_vs_worst, or another domain"
            )
        if subject is not None and not subject.compared:
            raise ConfigError(
                f"curator.type={self.curator.type} compares final answers, and of domain.type={subject.name} answers that differ may both "
                "be right; set curator.type=best_vs_worst, or another domain"
            )
        if isinstance(self.curator, MajorityConfig) and self.validation.min_fresh > 0 and "fresh" not in self.validation.warnings:
            raise ConfigError(
                f"curator.type=majority keeps nothing that people made, and validation.min_fresh={self.validation.min_fresh:g} wants a "
                "share of it; set validation.min_fresh=0, or another curator"
            )
        if isinstance(self.curator, MajorityConfig) and self.sampling.num_samples == 1:
            raise ConfigError(
                "curator.type=majority keeps what most answers to a query agree on, and sampling.num_samples=1 gives each query one; "
                "raise it, or set another curator"
            )
        if isinstance(self.curator, RejectionConfig) and self.alike:
            raise ConfigError(
                f"curator.type=rejection pairs different answers to a query, and {self.alike} gives no two; raise it, or set "
                "curator.type=best_vs_worst and learner.type=sft"
            )

    @property
    def alike(self) -> str | None:
        """The setting by which no query has two different answers; None where it may have."""
        if self.sampling.num_samples == 1:
            return "sampling.num_samples=1"
        count = self.sampling.num_samples
        greedy = self.sampling.temperature == 0 and (self.amplify is None or self.amplify.count(count) == count)
        greedy = greedy and not isinstance(self.engine, ReplayConfig)
        return "sampling.temperature=0" if greedy else None

    def _criticised(self) -> None:
        """ConfigError where the critic does not say what curator or learner ask of it, or nothing at all."""
        revises, paid = getattr(self.curator, "revises", False), isinstance(self.learner, PpoConfig) and self.learner.span_reward > 0
        if (revises or paid) and not self.critic.explains:
            part = f"learner.span_reward={getattr(self.learner, 'span_reward', 0):g} has tokens paid for where a critique finds fault"
            part = f"curator.type={self.curator.type} has answers written again by what is said against them" if revises else part
            raise ConfigError(
                f"{part}, and critic.type={self.critic.type} says nothing but a score; set one that explains, for example "
                "critic.type=generative"
            )
        if paid and not self.critic.points:
            raise ConfigError(
                f"learner.span_reward={getattr(self.learner, 'span_reward', 0):g} has tokens paid for where a critique finds fault, and "
                f"critic.type={self.critic.type} points at no place; set one that does, for example critic.type=generative"
            )
        if revises and isinstance(self.domain, ArithmeticConfig) and self.critic.type in ("panel", "cascade"):
            raise ConfigError(
                f"curator.type={self.curator.type} has answers of domain.type=arithmetic gone on from where a bare critique ends, and "
                f"critic.type={self.critic.type} says beside it who said what; set critic.type=generative"
            )
        # What verifies holds what it has written against final answers, and asks no critic.
        writes = getattr(self.curator, "writes", False) and not getattr(self.curator, "verifies", False)
        asks = getattr(self.learner, "asks", False)
        scores = "critic.mode=points" if self.critic.type == "judge" and not self.wordless else "critic.type=generative"
        if (asks or writes) and self.critic.compares:
            part = f"learner.type={self.learner.type}" if asks else f"curator.type={self.curator.type}"
            raise ConfigError(
                f"{part} has single answers scored, and critic.type={self.critic.type} only compares answers to one query; "
                f"set a critic that scores each by itself, for example {scores}"
            )
        if self.critic.compares and self.alike:
            raise ConfigError(
                f"critic.type={self.critic.type} compares answers to one query, and {self.alike} gives it nothing to compare; "
                f"raise it, or set a critic that scores each answer by itself, for example {scores}"
            )
        reads = next((part.type for part in self._judges if part.writes and not isinstance(part, GenerativeConfig)), None)
        if self.wordless and reads:
            raise ConfigError(
                f"a critic of type {reads} asks a model in words, and the weights shipped with domain.type=arithmetic read none; "
                "set critic.type=generative, which they are taught to be, or name learner.model and critic.model"
            )

    @property
    def wordless(self) -> bool:
        """Whether the critic's weights are those shipped with arithmetic, which read no words."""
        named = any(getattr(part, "model", None) is not None for part in (self.learner, self.critic))
        return isinstance(self.domain, ArithmeticConfig) and isinstance(self.critic_engine, TransformersConfig | VllmConfig) and not named

    def _judged(self) -> None:
        """ConfigError where the learner cannot be its own judge."""
        if self.own_judge and (not self.critic.writes or self.critic.type == "cascade"):
            why = "has thresholds that hold for other weights" if self.critic.writes else "has no model write"
            raise ConfigError(
                f"own_judge=true has the learner write critiques, and critic.type={self.critic.type} {why}; "
                "set a critic for which a model writes, for example critic.type=generative"
            )
        if self.own_judge and self.critic_learner is not None:
            raise ConfigError("own_judge=true leaves no critic to be trained: the learner is taught to judge; set critic_learner=null")
        if self.own_judge and not getattr(self.learner, "imitates", True):
            ways = {"supervised": "learner.supervised=true", "sft_weight": "learner.sft_weight=1"}
            way = next((way for name, way in ways.items() if hasattr(self.learner, name)), "learner.type=sft")
            raise ConfigError(
                f"own_judge=true has the learner taught to judge by critiques to imitate, and learner.type={self.learner.type} imitates "
                f"nothing as it is set; set {way}"
            )

    def _asked(self) -> None:
        """ConfigError where queries are not written, not answered by people, or not answered as they are to be."""
        kinds, domain = [part.type for part in self.attackers], self.domain.type
        writing = next((part.type for part in self.attackers if getattr(part, "writes", False)), None)
        if writing and isinstance(self.engine, ReplayConfig):
            raise ConfigError(
                f"attackers.type={writing} has the learner write queries, and engine.type=replay only plays back what was recorded; "
                "set engine.type to one that generates, for example transformers, or another attacker"
            )
        if writing and isinstance(self.domain, ArithmeticConfig):
            raise ConfigError(
                f"attackers.type={writing} has the learner write queries, and that of domain.type=arithmetic only writes answers; "
                "set attackers=[{type: weakness, share: 1}], for which the domain draws them"
            )
        if isinstance(self.curator, SpinConfig) and {"weakness", "grown"}.issuperset(kinds):
            raise ConfigError(
                f"curator.type=spin learns from prompts that people answered, and attackers.type={kinds[0]} makes new ones; "
                "set attackers=[{type: answered, share: 1}]"
            )
        if self.amplify is not None and isinstance(self.domain, CollectionConfig):
            raise ConfigError(
                f"amplify has answers written in parts, and those of domain.type={domain} have none; set amplify=null, or "
                "domain.type=arithmetic"
            )

    def _shown(self) -> None:
        """ConfigError where the learner weighs a dimension that nobody shows."""
        domain, name = self.domain, self.domain.type
        if not isinstance(domain, ArithmeticConfig | CollectionConfig):
            return
        dimensions = domain.build().dimensions if isinstance(domain, ArithmeticConfig) else domain.subject().dimensions
        judged = getattr(self.curator, "judged", None)
        if judged is not None and judged not in dimensions:
            raise ConfigError(
                f"curator.judged={judged!r} is no dimension of domain.type={name}; set curator.judged to "
                f"{' or '.join(repr(one) for one in sorted(dimensions))}"
            )
        if not isinstance(self.learner, PanaceaConfig):
            return
        brief = isinstance(domain, ArithmeticConfig) and domain.brief
        known = {judged or "correctness", *((BREVITY,) if brief else ())}
        if unknown := sorted(self.learner.preference.keys() - known):
            more = ", or set domain.brief=true, with which people show brevity" if name == "arithmetic" and not brief else ""
            raise ConfigError(
                f"learner.preference weighs {unknown[0]!r}, and nothing of domain.type={name} shows it; set "
                f"learner.preference={{{', '.join((*(f'{one}: 1' for one in sorted(known)), *(f'{one}: null' for one in unknown)))}}}{more}"
            )

    @property
    def _judges(self) -> tuple[Any, ...]:
        """Whose words reach the curator: the critic, or the members of one that has some."""
        return self.critic.members if isinstance(self.critic, MembersConfig) else (self.critic,)

    @property
    def critic_engine(self) -> EngineConfig:
        """How critics write: as the learner answers, unless its answers are played back."""
        replayed = isinstance(self.engine, ReplayConfig) and self.evaluation_engine is not None
        return self.evaluation_engine if replayed else self.engine

    @property
    def audited(self) -> OversightConfig:
        """The oversight that audits what the curator would keep."""
        return self.oversight.model_copy(update={"sure": getattr(self.curator, "keep", self.oversight.sure)})


class CampaignConfig(Config):
    """Rounds in sequence, each from what the one before left."""

    round: RoundConfig = RoundConfig()
    """What each round is."""
    rounds: int = Field(default=1, ge=1)
    """How many rounds."""
    number: int | None = Field(default=None, ge=1)
    """Number of the one round that is to be completed; None begins or resumes whatever comes next."""
