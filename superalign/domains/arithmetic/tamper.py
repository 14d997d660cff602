"""Known errors put into right answers at a known place, as the learner makes them: slips, copies, carries, final lines, fudges."""

from __future__ import annotations

import random
from dataclasses import dataclass

from superalign.domains.arithmetic.facts import Column, Facts, final_text, write
from superalign.domains.arithmetic.problems import MAX_TERM, MAX_TOTAL, Problem


@dataclass(frozen=True)
class Tampered:
    """An answer with one known first error."""

    prompt: str
    text: str
    step: int
    """Zero-based index of the wrong step; the number of steps for the final line."""
    correction: str
    """What that step should be."""


def tamper(problem: Problem, made: list[Column] | str, facts: Facts, rng: random.Random) -> Tampered:
    """A composed problem's answer with one error."""
    if isinstance(made, str):
        return _countdown(problem, made, facts, rng)
    return _final(problem, made, rng) if rng.random() < 0.5 else _column(problem, made, facts, rng)


def _column(problem: Problem, chain: list[Column], facts: Facts, rng: random.Random) -> Tampered:
    kind, place = problem.kind, rng.randrange(len(chain))
    right, _ = write(kind, chain, problem.first)
    x, y, carry, value, out = chain[place]
    while True:
        form = rng.choice(("slip", "slip", "slip", "copy", "copy", "carry", *(("missing",) if len(chain) > 1 else ())))
        wrong = _wrong_column(form, kind, chain, place, facts, rng)
        if wrong != (x, y, carry, value, out):
            break
    altered = [*chain[:place], *([wrong] if wrong else []), *_follow(kind, chain, place, wrong, facts, rng)]
    steps, digits = write(kind, altered, problem.first)
    if wrong is None:
        head, tail = right[:place], right[place + 1 :]
        steps, digits = head + tail, [fact[3] % 10 for fact in (*chain[:place], *chain[place + 1 :])]
    return Tampered(problem.prompt, "".join(steps) + final_text(digits, problem.first), place, right[place])


def _wrong_column(form: str, kind: str, chain: list[Column], place: int, facts: Facts, rng: random.Random) -> Column | None:
    x, y, carry, value, out = chain[place]
    if form == "missing":
        return None
    if form == "slip":
        wrong = value + rng.choice((-10, -2, -1, -1, 1, 1, 2, 10))
        limit = 9 if kind == "sub" else min(MAX_TOTAL, 89)
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


def _follow(kind: str, chain: list[Column], place: int, wrong: Column | None, facts: Facts, rng: random.Random) -> list[Column]:
    """The steps after the wrong one: going on from the wrong carry, where people checked such steps, or as they were."""
    rest = chain[place + 1 :]
    if wrong is None or rng.random() < 0.3:
        return rest
    carry, followed = wrong[4], []
    for x, y, *_ in rest:
        fact = facts.columns[kind].get((x, y, carry))
        if fact is None:
            return rest
        followed.append(fact)
        carry = fact[4]
    return followed


def _final(problem: Problem, chain: list[Column], rng: random.Random) -> Tampered:
    steps, digits = write(problem.kind, chain, problem.first)
    right, wrong = final_text(digits, problem.first), list(digits)
    form = rng.choice(("digit", "neighbour", "drop", "extra", "swap", "several", "several", "several", "several"))
    place = rng.randrange(len(digits))
    if form == "neighbour":
        wrong[place] = digits[rng.randrange(len(digits))]
    elif form == "drop" and len(digits) > 1:
        del wrong[-1 if rng.random() < 0.5 else place]
    elif form == "extra" and len(digits) == len(chain):
        wrong.append(1)
    elif form == "swap" and len(digits) > 1:
        other = (place + 1) % len(digits)
        wrong[place], wrong[other] = wrong[other], wrong[place]
    elif form == "several":
        wrong = [rng.choice((digit, digit, rng.randint(0, 9), rng.choice(digits))) for digit in digits]
    if wrong == digits:
        wrong[place] = (digits[place] + rng.randint(1, 9)) % 10
    return Tampered(problem.prompt, "".join(steps) + final_text(wrong, problem.first), len(chain), right)


def _countdown(problem: Problem, text: str, facts: Facts, rng: random.Random) -> Tampered:
    *terms, target = problem.numbers
    signs = [part for part in text if part in "+-"]
    totals = [int(part.split("+")[0].split("-")[0]) for part in text.split("=")[1:]]
    rights = [f" {terms[0]}", *(f"{s}{t}={v}" for s, t, v in zip(signs, terms[1:], totals, strict=True))]
    form = rng.choice(("slip", "fudge", "fudge", "miss", "miss", "copy", "short"))
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
        wrong = max(0, value + rng.choice((-12, -10, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 10, 12)))
        step = f"{sign}{term}={min(MAX_TOTAL, wrong if wrong != value else value + 1)}"
    shown = int(step.rpartition("=")[2])
    steps, total = [*rights[:place], step], shown
    for s, t, v in zip(signs[place:], terms[place + 1 :], totals[place:], strict=True):
        total = facts.terms.get((total, s, t), v)
        steps.append(f"{s}{t}={total}")
    goal = total if form == "fudge" or rng.random() < 0.6 else target
    return Tampered(Problem("countdown", (*terms, goal)).prompt, "".join(steps), place, rights[place])
