"""The page of a report, section by section: attacks, critiques, examples, changes, gates, rounds, costs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superalign.evaluation.outcomes import Part
from superalign.evaluation.statistics import Estimate
from superalign.evaluation.summary import Comparison, Summary
from superalign.journal import STAGES, RoundRecord
from superalign.oversight.simulated import SIMULATED
from superalign.records import Critique, Example, Verdict
from superalign.validation.balance import HUMAN
from tasks.report import plots
from tasks.report.facts import Case, Facts
from tasks.report.markup import Content, Html, page, quoted, table, tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS: dict[Part, str] = {"benchmark": "held out, only reported", "gate": "held out, decides", "attacks": "those of this round"}


def render(facts: Facts, drawn: Mapping[str, Figure]) -> str:
    """The whole page."""
    images = {name: tag("figure", Html(plots.svg(figure))) for name, figure in drawn.items()}
    sections = [
        _head(facts),
        _attacks(facts, images),
        _critiques(facts, images),
        _examples(facts),
        _changes(facts, images),
        _gates(facts),
        _rounds(images),
        _costs(facts.record),
        _lineage(facts.record),
    ]
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return page(f"superalign: round {facts.record.round}", style, sections)


def _head(facts: Facts) -> Html:
    record, bench = facts.record, facts.record.benchmark
    critical = [check for check in record.gates if check.severity == "critical"]
    failed = [check.name for check in critical if not check.passed]
    verdict, css = _outcome(facts, failed)
    tiles = [
        (
            "held-out accuracy",
            f"{bench.before.mean:.1%} → {bench.after.mean:.1%}" if bench else "not measured",
            f"after: {bench.after.low:.1%} to {bench.after.high:.1%}, n={bench.after.n}" if bench else None,
        ),
        (
            "critical checks",
            f"{len(failed)} failed" if failed else "all passed",
            f"of {len(critical)}",
        ),
        ("human labels", str(record.human_labels), _people(facts)),
        (
            "time",
            _seconds(record.total or sum(record.seconds.values())),
            f"from cache: {', '.join(record.cached)}" if record.cached else None,
        ),
    ]
    return tag(
        "header",
        tag("h1", f"Round {record.round}", tag("span", verdict, css=f"verdict {css}")),
        tag("p", f"recipe {record.recipe}, from {record.learner.before}, {record.started}", css="soft"),
        tag("p", record.reason or f"Failed: {', '.join(failed)}.", css=css) if record.reason or failed else None,
        tag(
            "div",
            [
                tag(
                    "div",
                    tag("span", name, css="soft small"),
                    tag("b", value),
                    tag("span", more, css="soft small") if more else None,
                    css="tile",
                )
                for name, value, more in tiles
            ],
            css="tiles",
        ),
    )


def _outcome(facts: Facts, failed: Sequence[str]) -> tuple[str, str]:
    """What became of the round, in words, and their class. Its record may still be open while its report is written."""
    learner = facts.record.learner
    if learner.promoted:
        return f"promoted: {learner.after} is champion", "good"
    if facts.gates:
        return f"not promoted: {learner.before} stays champion", "bad"
    return ("stopped before training", "bad") if failed else (facts.record.status, "warn")


def _attacks(facts: Facts, images: Mapping[str, Html]) -> Html:
    total = sum(facts.asked.values())
    made = ", ".join(f"{n} by {name}" for name, n in sorted(facts.attackers.items()))
    hardest = sorted(facts.scores, key=lambda name: (facts.scores[name], name))[:3]
    worst = ", ".join(f"{name} ({facts.scores[name]:.0%})" for name in hardest)
    return tag(
        "section",
        tag("h2", "What was attacked"),
        tag("p", f"{total} queries in {len(facts.asked)} categories: {made}." if total else "Nothing was asked."),
        tag("p", f"The critic scored lowest: {worst}.") if worst else None,
        images.get("attacks"),
        tag("p", "Held out: accuracy over both held-out halves, which attackers, critics and curation never see.", css="soft small")
        if facts.summary
        else None,
    )


def _critiques(facts: Facts, images: Mapping[str, Html]) -> Html:
    summary = facts.summary
    return tag(
        "section",
        tag("h2", "What the critic said"),
        tag("p", f"{len(facts.labels)} responses were judged by people ({_people(facts)}); their word outweighs the critic's.")
        if facts.labels
        else tag("p", "No response was judged by people."),
        _quality(summary) if summary and summary.critic_before.accuracy else None,
        images.get("reliability"),
        tag("div", [_case(case) for case in facts.cases], css="cards"),
    )


def _case(case: Case) -> Html:
    label = case.label
    critic = [(f"{critique.critic}", _critique(critique)) for critique in case.critiques]
    step = f", first wrong step {label.step}" if label and label.step is not None else ""
    human = [("human", [_word(label.verdict), f" {_name(label.annotator)}{step}"])] if label else []
    rows: list[tuple[str, Content]] = [("query", quoted(case.query.prompt)), ("response", quoted(case.response.text)), *critic, *human]
    if label and label.correction:
        rows.append(("correction", quoted(label.correction)))
    return tag(
        "article",
        tag("header", tag("span", case.why), tag("span", f"{case.query.category}, response {case.response.id}")),
        tag("dl", [[tag("dt", name), tag("dd", content)] for name, content in rows]),
    )


def _critique(critique: Critique) -> Content:
    words: Content = quoted(critique.text) if critique.text else tag("span", critique.error or "", css="soft")
    return [_word(critique.verdict), f" score {critique.score:.2f} ", words]


def _quality(summary: Summary) -> Html:
    before, after = summary.critic_before, summary.critic_after
    rows = [
        ("accuracy", before.accuracy, after.accuracy),
        ("precision of “right”", before.precision, after.precision),
        ("finds the wrong step", before.found, after.found),
        ("false alarms on right answers", before.false_alarms, after.false_alarms),
        ("talked over by what a wrong answer says", summary.talked_over.before, summary.talked_over.after),
    ]
    points = [("area under the ROC curve", before.auc, after.auc), ("calibration error", before.ece, after.ece)]
    return Html(
        tag("h3", "The critic on its own test")
        + table(
            ["", "before", "after its training on this round's labels"],
            [
                *([name, _span(a), _span(b)] for name, a, b in rows),
                *([name, _number(a), _number(b)] for name, a, b in points),
            ],
        )
    )


def _examples(facts: Facts) -> Html:
    total = sum(facts.sources.values())
    fresh = sum(n for source, n in facts.sources.items() if source.startswith(HUMAN))
    sources = ", ".join(f"{n} from {source}" for source, n in sorted(facts.sources.items(), key=lambda item: (-item[1], item[0])))
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(facts.reasons.items(), key=lambda item: (-item[1], item[0])))
    return tag(
        "section",
        tag("h2", "What was trained on"),
        tag("p", f"{total} examples, {fresh / total:.0%} of them made by people: {sources}." if total else "No example passed."),
        tag("div", [_example(example) for example in facts.examples], css="cards"),
        tag("h3", "Kept out") if reasons else None,
        tag("p", f"Quarantined: {reasons}.") if reasons else tag("p", "Nothing was quarantined.", css="soft"),
        tag("div", [_example(row, row.reason) for row in facts.quarantined], css="cards"),
    )


def _example(example: Example, reason: str | None = None) -> Html:
    rejected = [("rejected", [quoted(example.rejected), _score(example.rejected_score)])] if example.rejected is not None else []
    rows = [("query", quoted(example.prompt)), ("chosen", [quoted(example.chosen), _score(example.chosen_score)]), *rejected]
    weight = f", {example.weight} times" if example.weight > 1 else ""
    return tag(
        "article",
        tag(
            "header",
            tag("span", reason, css="bad") if reason else tag("span", f"{example.source}{weight}"),
            tag("span", f"{example.category}, example {example.id}"),
        ),
        tag("dl", [[tag("dt", name), tag("dd", content)] for name, content in rows]),
    )


def _changes(facts: Facts, images: Mapping[str, Html]) -> Html:
    if facts.summary is None:
        return tag("section", tag("h2", "What changed"), tag("p", "The round ended before a candidate was evaluated."))
    rows = []
    for name, meaning in PARTS.items():
        part = facts.summary.parts[name]
        if part.accuracy.before is not None:
            rows.append([f"{name}: {meaning}", *_compared(part.accuracy), _span(part.solved), _span(part.broken)])
    gap = facts.summary.gap
    gained = "what the critic's choice among the samples adds to their mean accuracy"
    return tag(
        "section",
        tag("h2", "What changed"),
        table(["accuracy", "before", "after", "change", "newly solved", "newly broken"], rows),
        tag(
            "p",
            f"Generation-verification gap on the attacks: {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], n={gap.n}; {gained}.",
        )
        if gap
        else None,
        _suspected(facts.summary),
        tag("div", images.get("accuracy_by_category"), images.get("pass_at_k"), css="side"),
        images.get("pareto"),
        tag("p", "Each point: the candidate's weights merged for one preference, on examples that were not trained on.", css="soft small")
        if facts.points
        else None,
    )


def _suspected(summary: Summary) -> Html | None:
    """What the critic thinks of the candidate's answers, and how far it went for that."""
    score, far = summary.critic_score, summary.divergence
    return tag(
        "p",
        ["The critic's mean score of the answers to the attacks: ", _span(score.before), " → ", _span(score.after), ". "]
        if score.change
        else None,
        f"KL divergence from the champion along the candidate's answers: {far.mean:.3f} [{far.low:.3f}, {far.high:.3f}] nats a token."
        if far
        else None,
    )


def _gates(facts: Facts) -> Html:
    data = [verdict for verdict in facts.record.gates if verdict not in facts.gates]
    docs = facts.record.docs
    return tag(
        "section",
        tag("h2", "What the gates decided"),
        _verdicts(facts.gates) if facts.gates else tag("p", "There was no candidate to decide on."),
        tag("h3", "The data it was trained on"),
        _verdicts([verdict for verdict in data if not _law(verdict)]),
        tag(
            "p",
            f"{sum(map(_law, data))} laws hold on every single row. Great Expectations' pages: ",
            tag("code", docs),
            css="soft small",
        )
        if docs
        else None,
    )


def _law(verdict: Verdict) -> bool:
    """Whether it is about rows of which none may break it, and none does."""
    return verdict.limit == 0 and verdict.value == 0 and verdict.passed


def _verdicts(verdicts: Iterable[Verdict]) -> Html:
    rows = [
        [
            _passed(verdict),
            tag("span", verdict.name, css="word"),
            _number(verdict.value),
            _number(verdict.limit),
            _number(verdict.baseline),
            verdict.detail,
        ]
        for verdict in verdicts
    ]
    return table(["", "check", "value", "limit", "before", ""], rows, numbers=(2, 3, 4))


def _passed(verdict: Verdict) -> Html:
    if verdict.limit is None or verdict.value is None:
        return tag(
            "span",
            "failed" if verdict.severity == "critical" and not verdict.passed else "not judged",
            css="bad" if verdict.severity == "critical" else "soft",
        )
    if verdict.passed:
        return tag("span", "passed", css="good")
    return tag("span", "failed", css="bad") if verdict.severity == "critical" else tag("span", "warning", css="warn")


def _rounds(images: Mapping[str, Html]) -> Html | None:
    return tag("section", tag("h2", "Over the rounds"), images["rounds"]) if "rounds" in images else None


def _costs(record: RoundRecord) -> Html:
    longest = max(record.seconds.values(), default=0) or 1
    rows = [
        [
            stage,
            _seconds(record.seconds[stage]),
            tag("div", Html(f'<i style="width:{record.seconds[stage] / longest:.1%}"></i>'), css="bar"),
            "from cache" if stage in record.cached else "",
        ]
        for stage in sorted(record.seconds, key=lambda name: (STAGES.index(name) if name in STAGES else len(STAGES), name))
    ]
    return tag(
        "section",
        tag("h2", "What it cost"),
        tag("p", f"{_seconds(record.total)} in all, {record.human_labels} human labels."),
        table(["stage", "own compute", "", ""], rows, numbers=(1,)),
    )


def _lineage(record: RoundRecord) -> Html:
    artifacts = [
        [name, tag("code", artifact.path), str(artifact.rows), tag("code", artifact.md5)] for name, artifact in record.artifacts.items()
    ]
    policies = [[name, tag("code", policy.path), "", tag("code", policy.md5)] for name, policy in record.policies.items()]
    return tag(
        "section",
        tag("h2", "Where it comes from"),
        tag(
            "p",
            f"Continues round {record.parent}." if record.parent is not None else "The first round.",
            f" Data: DVC {record.data}." if record.data else "",
        ),
        tag(
            "details",
            tag("summary", "Artifacts and policies, by md5"),
            table(["", "path", "rows", "md5"], [*artifacts, *policies], numbers=(2,)),
        ),
        tag("details", tag("summary", "Configuration"), tag("code", json.dumps(record.config, indent=1, sort_keys=True))),
    )


def _compared(comparison: Comparison) -> list[Content]:
    change = comparison.change
    if change is None:
        return ["", "", ""]
    css = "good" if change.low > 0 else "bad" if change.high < 0 else ""
    return [
        _span(comparison.before),
        _span(comparison.after),
        [tag("span", f"{change.mean:+.1%} ", css=css), tag("span", f"{change.low:+.1%} to {change.high:+.1%}", css="soft small word")],
    ]


def _people(facts: Facts) -> str:
    given = [opinion.annotator for label in facts.labels for opinion in label.opinions] or [label.annotator for label in facts.labels]
    return ", ".join(sorted({_name(annotator) for annotator in given})) or "nobody was asked"


def _name(annotator: str) -> str:
    """Who gave a verdict, as the page names them."""
    return "a simulated human" if annotator == SIMULATED else annotator.removeprefix("human:").replace(",", ", ")


def _word(verdict: bool | None) -> Html:
    return (
        tag("b", "right", css="good")
        if verdict
        else tag("b", "wrong", css="bad")
        if verdict is False
        else tag("b", "no verdict", css="soft")
    )


def _score(score: float | None) -> Html | None:
    return tag("span", f" score {score:.2f}", css="soft small") if score is not None else None


def _span(estimate: Estimate | None) -> Content:
    if estimate is None:
        return tag("span", "not measured", css="soft")
    return [f"{estimate.mean:.1%} ", tag("span", f"{estimate.low:.1%} to {estimate.high:.1%}", css="soft small word")]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
