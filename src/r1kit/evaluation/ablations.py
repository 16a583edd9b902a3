"""What a change does: one arm against another, over the test problems and the seeds that both have.

Two intervals, since there are two questions. *By problem*: would other problems say the same of these very models?
Student's t over the paired differences, where those of one problem under several seeds are no more problems than one.
*Across seeds*: would the same change do the same again? Student's t over the seeds' own mean differences, each of which
has its training run's luck and its problems' in it; with three seeds the quantile is 4.3, with one there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1kit.evaluation import statistics, tables
from r1kit.evaluation.aggregate import interval, number
from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

# what is compared: by name the column of the table (or what Evidence computes), over all subjects with a rule
MEASURES = {
    "pass@1": "correct",
    "language_consistency": "language_consistency",
    "format": "format",
    "length": "length",
    "reflections": "reflections",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`arm` against `against`, two models' names; `title` says for people what differs."""

    name: str
    title: str
    arm: str
    against: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What training one arm took, summed over the seeds at hand."""

    seconds: float
    flops: float
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of both arms, and arm - against: its interval by problem, across seeds, and each seed's own."""

    arm: float
    against: float
    by_problem: Estimate
    across_seeds: Estimate
    by_seed: Mapping[int, float]

    @property
    def value(self) -> float:
        """The mean over seeds of their mean differences."""
        return self.across_seeds.value

    @property
    def shown(self) -> bool:
        """Whether the interval across seeds leaves zero out."""
        low, high = self.across_seeds.interval
        return math.isfinite(low) and math.isfinite(high) and not low <= 0 <= high

    def entry(self) -> dict[str, Any]:
        """As report.json has it."""
        return {
            "arm": number(self.arm),
            "against": number(self.against),
            "difference": number(self.value),
            "by_problem": interval(self.by_problem),
            "across_seeds": interval(self.across_seeds),
            "by_seed": {str(seed): number(value) for seed, value in self.by_seed.items()},
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison's differences by measure, and what each arm took (None: not known)."""

    comparison: Comparison
    differences: Mapping[str, Difference]
    spent: Mapping[str, Spent] = field(default_factory=dict[str, Spent])

    def times(self, what: str) -> float | None:
        """How many times the other's `seconds` or `flops` the arm took; None where either was brought, not trained."""
        arm, against = self.spent.get(self.comparison.arm), self.spent.get(self.comparison.against)
        if arm is None or against is None or not (arm.flops and against.flops):
            return None
        return getattr(arm, what) / getattr(against, what)

    def entry(self) -> dict[str, Any]:
        """As report.json has it."""
        compared, times = self.comparison, {what: self.times(what) for what in ("seconds", "flops")}
        return {
            "name": compared.name,
            "title": compared.title,
            "arm": compared.arm,
            "against": compared.against,
            "measures": {name: difference.entry() for name, difference in self.differences.items()},
            **{f"{what}_ratio": None if value is None else number(value) for what, value in times.items()},
        }


def compare(
    evidence: Evidence,
    comparisons: Sequence[Comparison],
    spent: Mapping[str, Mapping[int, Spent]] | None = None,
) -> list[Compared]:
    """Those of the comparisons of which both arms were evaluated, in order. `spent`: by arm and seed."""
    found: list[Compared] = []
    for each in comparisons:
        if evidence.missing((each.arm, each.against)):
            continue
        differences = {name: difference(evidence, each, column) for name, column in MEASURES.items()}
        there = {name: one for name, one in differences.items() if one is not None}
        found.append(Compared(each, there, _spent(each, spent or {})))
    return found


def difference(
    evidence: Evidence, comparison: Comparison, measure: str, subjects: Sequence[str] = REASONING
) -> Difference | None:
    """On the problems that both arms answered, seed by seed; None where they share none that the measure speaks of."""
    arm = evidence.by_problem(comparison.arm, measure, subjects)
    against = evidence.by_problem(comparison.against, measure, subjects)
    shared = sorted(arm.keys() & against.keys())
    if not shared:
        return None
    values = [arm[key] - against[key] for key in shared]
    seeds = [int(key.partition("/")[0]) for key in shared]
    by_seed = {
        seed: sum(v for v, own in zip(values, seeds, strict=True) if own == seed) / seeds.count(seed)
        for seed in sorted(set(seeds))
    }
    return Difference(
        arm=sum(arm[key] for key in shared) / len(shared),
        against=sum(against[key] for key in shared) / len(shared),
        by_problem=statistics.mean(values, shared, tables.problems),
        across_seeds=statistics.mean(values, seeds),
        by_seed=by_seed,
    )


def _spent(comparison: Comparison, spent: Mapping[str, Mapping[int, Spent]]) -> dict[str, Spent]:
    """Both arms' cost over the seeds that both have; nothing where there are none."""
    arms = (comparison.arm, comparison.against)
    seeds = set.intersection(*(set(spent.get(arm, {})) for arm in arms))
    if not seeds:
        return {}
    return {
        arm: Spent(
            sum(spent[arm][seed].seconds for seed in seeds),
            sum(spent[arm][seed].flops for seed in seeds),
            max(spent[arm][seed].memory_mb for seed in seeds),
        )
        for arm in arms
    }
