"""Known errors put into right answers at a known place, as the learner makes them: slips, copies, carries, lost columns, fudges."""

from __future__ import annotations

import random
from dataclasses import dataclass

from superalign.domains.arithmetic.facts import Column, Facts, write
from superalign.domains.arithmetic.problems import MAX_TERM, MAX_TOTAL, Problem


@dataclass(frozen=True)
class Tampered:
    """An answer with one known first error."""

    prompt: str
    text: str
    step: int
    """Zero-based index of the wrong step."""
    correction: str
    """What that step should be; empty where there should be none."""


def tamper(problem: Problem, made: list[Column] | str, facts: Facts, rng: random.Random) -> Tampered:
    """A composed problem's answer with one error."""
    if isinstance(made, str):
        return _countdown(problem, made, facts, rng)
    return _extra(problem, made, facts, rng) if rng.random() < 0.05 else _column(problem, made, facts, rng)


def _column(problem: Problem, chain: list[Column], facts: Facts, rng: random.Random) -> Tampered:
    kind, place = problem.kind, rng.randrange(len(chain))
    right = write(kind, chain, problem.first)
    forms = ["slip", "copy", "copy", "carry", *(["borrow"] * 3 if kind == "sub" else ["slip"]), *(["missing"] if len(chain) > 1 else [])]
    while True:
        form = rng.choice(forms)
        wrong = _wrong_column(form, kind, chain, place, facts, rng)
        if wrong != chain[place]:
            break
    if wrong is None:
        steps = right[:place] + (right[place + 1 :] if rng.random() < 0.5 else [])
    else:
        steps = write(kind, [*chain[:place], wrong, *_follow(kind, chain, place, wrong, facts, rng)], problem.first)
    return Tampered(problem.prompt, "".join(steps), place, right[place])


def _extra(problem: Problem, chain: list[Column], facts: Facts, rng: random.Random) -> Tampered:
    """One column too many: the carry written out, or a column made up."""
    x, y, *_, carry = chain[-1]
    if rng.random() < 0.5:
        x, y = 0, y if problem.kind == "mul" else 0
    more = facts.columns[problem.kind].get((x, y, carry), (x, y, carry, carry, 0))
    return Tampered(problem.prompt, "".join(write(problem.kind, [*chain, more], problem.first)), len(chain), "")


def _wrong_column(form: str, kind: str, chain: list[Column], place: int, facts: Facts, rng: random.Random) -> Column | None:
    x, y, carry, value, out = chain[place]
    if form == "missing":
        return None
    if form == "borrow":
        likely = min(9, max(0, x + 10 * (1 - out) - y - carry))
        return (x, y, carry, likely if rng.random() < 0.75 else rng.randint(0, 9), 1 - out)
    if form == "slip":
        wrong = value + rng.choice((-10, -2, -1, -1, 1, 1, 2, 10))
        limit = 9 if kind == "sub" else 89
        wrong = wrong if 0 <= wrong <= limit else (value + 1) % (limit + 1)
        return (x, y, carry, wrong, out if kind == "sub" else wrong // 10)
    if form == "carry":
        other = facts.columns[kind].get((x, y, rng.choice([c for c in range(9 if kind == "mul" else 2) if c != carry])))
        return other or chain[place]
    neighbour = chain[rng.randrange(len(chain))]
    swap_first = kind == "mul" or rng.random() < 0.5
    new = neighbour[0] if swap_first else neighbour[1]
    if rng.random() < 0.5:
        new = rng.randint(0, 9)
    return facts.columns[kind].get((new, y, carry) if swap_first else (x, new, carry)) or chain[place]


def _follow(kind: str, chain: list[Column], place: int, wrong: Column, facts: Facts, rng: random.Random) -> list[Column]:
    """The steps after the wrong one: going on from the wrong carry, where people checked such steps, or as they were."""
    rest = chain[place + 1 :]
    if rng.random() < 0.3:
        return rest
    carry, followed = wrong[4], []
    for x, y, *_ in rest:
        fact = facts.columns[kind].get((x, y, carry))
        if fact is None:
            return rest
        followed.append(fact)
        carry = fact[4]
    return followed


def _countdown(problem: Problem, text: str, facts: Facts, rng: random.Random) -> Tampered:
    *terms, target = problem.numbers
    signs = [part for part in text if part in "+-"]
    totals = [int(part.split("+")[0].split("-")[0]) for part in text.split("=")[1:]]
    rights = [f" {terms[0]}", *(f"{s}{t}={v}" for s, t, v in zip(signs, terms[1:], totals, strict=True))]
    form = rng.choice(("slip", "slip", "slip", "fudge", "fudge", "miss", "copy", "short"))
    if form == "miss":
        other = rng.choice([t for t in range(max(0, target - 12), min(MAX_TOTAL, target + 12) + 1) if t != target])
        return Tampered(Problem("countdown", (*terms, other)).prompt, text, len(terms), f" > {other}")
    if form == "short" and len(terms) > 2:
        prompt = Problem("countdown", (*terms, totals[-2] if rng.random() < 0.7 else target)).prompt
        return Tampered(prompt, "".join(rights[:-1]), len(terms) - 1, f"+{terms[-1]}={totals[-2] + terms[-1]}")
    place = len(terms) - 1 if form == "fudge" else rng.randrange(1, len(terms))
    sign, term, value = signs[place - 1], terms[place], totals[place - 1]
    if form == "copy":
        wrong_term = rng.choice([t for t in range(1, MAX_TERM + 1) if t != term])
        before = totals[place - 2] if place > 1 else terms[0]
        result = facts.terms.get((before, sign, wrong_term))
        step = f"{sign}{wrong_term}={value if result is None else result}"
    else:
        wrong = max(0, value + rng.choice((-10, -4, -3, -2, -2, -1, -1, 1, 1, 2, 2, 3, 4, 10)))
        step = f"{sign}{term}={min(MAX_TOTAL, wrong if wrong != value else value + 1)}"
    shown = int(step.rpartition("=")[2])
    steps, total = [*rights[:place], step], shown
    for s, t, v in zip(signs[place:], terms[place + 1 :], totals[place:], strict=True):
        total = facts.terms.get((total, s, t), v)
        steps.append(f"{s}{t}={total}")
    goal = total if form == "fudge" or rng.random() < 0.6 else target
    return Tampered(Problem("countdown", (*terms, goal)).prompt, "".join(steps), place, rights[place])
