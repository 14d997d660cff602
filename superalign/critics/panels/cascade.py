"""Cascade: a cheap critic judges first, a dearer one what it is not sure of, and people what none is sure of (arXiv 2407.18370).

How sure is sure enough was found beside human labels, by ``superalign calibrate --cascade``: of the verdicts that stand no more than a
stated share disagrees with people. That holds for the critics, weights and kind of answers it was calibrated with, and for no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from superalign.config import Config
from superalign.critics import Critic, Pair, in_order
from superalign.critics.asking import critique
from superalign.critics.panels import M, MembersConfig, opinion
from superalign.domains import Task
from superalign.engines import Engine
from superalign.policy import Policy
from superalign.records import Critique, content_id


class Trusted(Config):
    """A judge of a calibration."""

    judge: str
    """Its name there: the member's ``type``, with ``-ANYTHING`` behind it where two members are of one type."""
    threshold: float | None = Field(ge=0, le=1)
    """Its verdict stands where its confidence is at least this; None: never."""


class Calibrated(Config):
    """What a calibration found."""

    risk: float = Field(gt=0, lt=1)
    """Largest share of the verdicts that stand that may disagree with people."""
    confidence: float = Field(gt=0, lt=1)
    """Share of calibrations in which that holds."""
    judges: tuple[Trusted, ...]
    """The judges, in the order in which they are asked."""


class CascadeConfig(MembersConfig[M], Generic[M]):
    """Several critics over the same weights, each asked about what the ones before it are not sure of."""

    type: Literal["cascade"] = "cascade"
    """Discriminator."""
    thresholds: Calibrated
    """From which confidence on each member's verdict stands: the file that ``superalign calibrate --cascade A,B --json`` wrote."""
    risk: float | None = Field(default=None, gt=0, lt=1)
    """The risk that is accepted; thresholds calibrated for another are refused. None: whichever they were calibrated for."""

    @field_validator("thresholds", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        """The thresholds themselves: what a file held is part of the configuration, so that other thresholds are another critic."""
        return calibrated(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _belong(self) -> Self:
        judges, types = [each.judge for each in self.thresholds.judges], [member.type for member in self.members]
        called = [judge == type_ or judge.startswith(f"{type_}-") for judge, type_ in zip(judges, types, strict=False)]
        if len(judges) != len(types) or not all(called):
            raise ValueError(
                f"its thresholds are those of {', '.join(judges) or 'nobody'}, its members are {', '.join(types)}; name the judges of the "
                f"rows as the members' types and calibrate with --cascade {','.join(types)}, or put the members in the thresholds' order"
            )
        if self.risk is not None and self.risk != self.thresholds.risk:
            raise ValueError(
                f"its thresholds hold at a risk of {self.thresholds.risk:g}, not {self.risk:g}; calibrate with --risk {self.risk:g}"
            )
        return self

    def build(self, task: Task, engine: Engine | None = None, policy: Policy | None = None) -> Critic:
        """The cascade over its members."""
        return Cascade(self, *self.seated(task, engine, policy))


def calibrated(path: str) -> dict[str, Any]:
    """What a file holds of ``Calibrated``; ValueError says why it holds none for a cascade."""
    from superalign.oversight.judges.selective import Thresholds

    way = "write it with `superalign calibrate VERDICTS --risk SHARE --cascade A,B --json`"
    try:
        found = Thresholds.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}; {way}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"the file is no calibration: {place}{': ' * bool(place)}{first['msg']}; {way}") from error
    judges = found.cascade or ()
    if not judges or set(judges) != found.judges.keys():
        raise ValueError(f"the file holds {', '.join(found.judges) or 'no judge'}, not a cascade of them; {way}")
    for name, trust in found.judges.items():
        if name in found.votes:
            raise ValueError(
                f"the file trusts {name} by its share of votes, which a critic does not give; {way} from rows with `confidence`"
            )
        if trust.threshold is not None and not (trust.bound is not None and trust.bound <= found.risk):
            raise ValueError(
                f"the file's threshold of {name} was not found at its risk of {found.risk:g}, the bound is {trust.bound}; {way}"
            )
    trusted = [{"judge": name, "threshold": found.judges[name].threshold} for name in judges]
    return {"risk": found.risk, "confidence": found.confidence, "judges": trusted}


@dataclass
class Case:
    """A response, and what has been said of it so far."""

    pair: Pair
    said: list[Critique] = field(default_factory=list)
    sure: list[str] = field(default_factory=list)
    """Of each who was asked: how sure it was, and had to be."""
    by: str | None = None
    """Who said the last of it, where that stands."""

    def hear(self, said: Critique, judge: str, threshold: float) -> None:
        """A member's critique, which stands if it is sure enough."""
        from superalign.oversight.judges.annotators import DIGITS

        sure = None if said.verdict is None or said.confidence is None else round(said.confidence, DIGITS)
        self.said.append(said)
        silent = said.error or "it does not say how sure it is"
        self.sure.append(f"{judge} {silent if sure is None else f'{sure:.3g}'}, trusted from {threshold:.3g}")
        self.by = judge if sure is not None and sure >= threshold else None


class Cascade:
    """Critics that are asked one after another."""

    def __init__(self, config: CascadeConfig[Any], members: Sequence[Critic], policy: str | None) -> None:
        self.config, self.members, self.policy = config, members, policy

    def critique(self, pairs: Sequence[Pair]) -> Iterator[Critique]:
        """One critique a pair, in order; a response nobody is sure of has no verdict and is for people."""
        cases = [Case(pair) for pair in pairs]
        for member, trusted, config in zip(self.members, self.config.thresholds.judges, self.config.members, strict=True):
            if trusted.threshold is not None:
                _ask(member, cases, trusted.judge, trusted.threshold, compares=config.compares)
        return (self._record(case) for case in cases)

    def _record(self, case: Case) -> Critique:
        response, how = case.pair[1], "; ".join(case.sure) or "no member is trusted with anything"
        if case.by is None:
            text = "\n\n".join([f"Cascade: nobody is sure enough ({how}).", *map(opinion, case.said)])
            return critique(response, "cascade", self.policy, text, score=None, error=f"nobody is sure enough: {how}")
        last = case.said[-1]
        text = f"Cascade: {case.by} judges ({how}).\n\n{last.text}"
        name = content_id(response.id, "cascade", self.policy or "", text)
        return last.model_copy(update={"id": name, "critic": "cascade", "policy": self.policy, "text": text})


def _ask(member: Critic, cases: Sequence[Case], judge: str, threshold: float, *, compares: bool) -> None:
    """Asks a member what is left; one that compares sees all answers to a query of which one is left, as when it was calibrated."""
    left = [case for case in cases if case.by is None]
    queries = {case.pair[0].id for case in left}
    asked = [case for case in cases if case.pair[0].id in queries] if compares else left
    for case, said in zip(asked, in_order(member, [case.pair for case in asked]), strict=True):
        if case.by is None:
            case.hear(said, judge, threshold)
