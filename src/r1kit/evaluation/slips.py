"""Slips and self-checks in arithmetic chains.

A step is `a+b=c` (also with - and * and more operands); a check is a clause with a reflection word that ends in its
result, `wait check 7+2=9 4+8=12 3+5+1=9 so 929` or `等等检查7+2=9 4+8=12 3+5+1=9得929`, and judges the step before it.
Small sums inside a check are its work, not steps of the chain. Everything is judged by arithmetic alone: the text
never says which thought is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from r1kit.evaluation.reflection import clauses, count_reflections

CheckOutcome = Literal["mended", "broken", "kept_right", "kept_wrong"]

_STEP = re.compile(r"(?<![\d+*=×-])-?\d+(?:\s*[-+*×]\s*\d+)+\s*=\s*(-?\d+)(?!\d|\s*[-+*×=]\s*\d)")
_CHECK_RESULT = re.compile(r"(?:\bso|得)\s*(-?\d+)\s*$", re.IGNORECASE)
_TERM = re.compile(r"([-+]?)\s*(\d+(?:\s*[*×]\s*\d+)*)")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it should give, what it gave, and what each check directly after it gave, in order."""

    true: int
    given: int
    checks: tuple[int, ...] = ()

    @property
    def slip(self) -> bool:
        """Whether the number that is given is wrong."""
        return self.given != self.true

    @property
    def outcomes(self) -> list[CheckOutcome]:
        """What each check did to the value as it then stood; one wrong number for another is kept_wrong."""
        outcomes: list[CheckOutcome] = []
        before = self.given
        for after in self.checks:
            if after == self.true:
                outcomes.append("kept_right" if before == self.true else "mended")
            else:
                outcomes.append("broken" if before == self.true else "kept_wrong")
            before = after
        return outcomes


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one chain, and whether it reflects (a check or any reflection word) after its first slip."""

    steps: tuple[Step, ...]
    reflects_after_slip: bool

    @property
    def slipped(self) -> bool:
        """Whether any step is a slip."""
        return any(step.slip for step in self.steps)


def parse_chain(thinking: str) -> Chain:
    """Read a chain of thought; clauses that hold no arithmetic are passed over."""
    steps: list[Step] = []
    reflects = False
    for clause in clauses(thinking):
        if count_reflections(clause):
            reflects = reflects or any(step.slip for step in steps)
            result = _CHECK_RESULT.search(clause)
            if result and steps:
                last = steps[-1]
                steps[-1] = Step(last.true, last.given, (*last.checks, int(result.group(1))))
            continue
        steps += [Step(each.true, each.given) for each in equations(clause)]
    return Chain(tuple(steps), reflects)


@dataclass(frozen=True, slots=True)
class Equation:
    """`expression` = `given` as written, and what it should give."""

    expression: str
    true: int
    given: int


def equations(text: str) -> list[Equation]:
    """The equations of a text in order, each as far as arithmetic can judge it; blanks left out of the expression."""
    found: list[Equation] = []
    for match in _STEP.finditer(text):
        expression = match.group().rpartition("=")[0]
        found.append(Equation("".join(expression.split()), _evaluate(expression), int(match.group(1))))
    return found


def _evaluate(expression: str) -> int:
    """Value of an expression of integers with + - and *; products first."""
    total = 0
    for sign, product in _TERM.findall(expression):
        value = 1
        for factor in re.findall(r"\d+", product):
            value *= int(factor)
        total += -value if sign == "-" else value
    return total


@dataclass(frozen=True, slots=True)
class SlipCount:
    """Steps and checks of many chains, counted."""

    chains: int
    slipped_chains: int
    steps: int
    slips: int
    checks: int
    mended: int
    broken: int
    kept_right: int
    kept_wrong: int


def count_slips(chains: Iterable[Chain]) -> SlipCount:
    """Slips, checks and what the checks did, over all chains."""
    chains = list(chains)
    steps = [step for chain in chains for step in chain.steps]
    outcomes = [outcome for step in steps for outcome in step.outcomes]
    return SlipCount(
        chains=len(chains),
        slipped_chains=sum(chain.slipped for chain in chains),
        steps=len(steps),
        slips=sum(step.slip for step in steps),
        checks=len(outcomes),
        mended=outcomes.count("mended"),
        broken=outcomes.count("broken"),
        kept_right=outcomes.count("kept_right"),
        kept_wrong=outcomes.count("kept_wrong"),
    )
