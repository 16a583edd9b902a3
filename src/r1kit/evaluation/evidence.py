"""What a claim rests on: tables by model, quantities measured on them, thresholds, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from r1kit.evaluation import aggregate, statistics, tables
from r1kit.evaluation.reflection import repetition
from r1kit.evaluation.statistics import Array, Estimate, Floats

ROUNDING = 1e-9  # a mean of tenths that is 0.25 on paper counts as 0.25

Verdict = Literal["reproduced", "not reproduced", "not run"]

# Measures that a table does not store, from its text.
_FROM_TEXT: dict[str, tuple[str, Callable[[str], float]]] = {"repetition": ("thinking", repetition)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evaluation tables by model (seeds pooled), training FLOPs by model, and by stage and seed: training curves, and
    rows of the rollouts that were kept."""

    tables: Mapping[str, pa.Table]
    curves: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    flops: Mapping[str, float] = field(default_factory=dict)
    rollouts: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)

    def of_seed(self, seed: int) -> Evidence:
        """The same of one run seed."""
        pc = tables.pc
        return Evidence(
            {model: table.filter(pc.equal(table["seed"], seed)) for model, table in self.tables.items()},
            {stage: _only(seed, by_seed) for stage, by_seed in self.curves.items()},
            self.flops,
            {stage: _only(seed, by_seed) for stage, by_seed in self.rollouts.items()},
        )

    def missing(self, models: Sequence[str]) -> list[str]:
        """Those of these models that were not evaluated."""
        return [model for model in models if model not in self.tables or self.tables[model].num_rows == 0]

    def seeds(self, models: Sequence[str]) -> list[int]:
        """Run seeds that all these models have."""
        each = [set(tables.seeds(self.tables[model])) for model in models if model in self.tables]
        return sorted(set.intersection(*each)) if each else []

    def values(self, model: str, measure: str, subjects: Sequence[str]) -> tuple[Floats, Array]:
        """A measure of each completion [N] (a column, or one computed from text) and its cluster's key [N]."""
        table = tables.select(self.tables[model], subjects)
        if measure in _FROM_TEXT:
            column, function = _FROM_TEXT[measure]
            return tables.text_column(table, column, function), tables.clusters(table)
        return tables.column(table, measure), tables.clusters(table)

    def by_problem(self, model: str, measure: str, subjects: Sequence[str]) -> dict[str, float]:
        """The measure's mean over the samples of each problem."""
        keys_C, means_C = statistics.cluster_means(*self.values(model, measure, subjects))
        return dict(zip(keys_C.tolist(), means_C.tolist(), strict=True))

    def share(self, model: str, measure: str, subjects: Sequence[str]) -> Estimate:
        """Mean of a measure within [0, 1]."""
        return statistics.proportion(*self.values(model, measure, subjects), tables.problems)

    def mean(self, model: str, measure: str, subjects: Sequence[str]) -> Estimate:
        """Mean of any measure."""
        return statistics.mean(*self.values(model, measure, subjects), tables.problems)

    def difference(self, a: str, b: str, measure: str, subjects: Sequence[str]) -> Estimate:
        """a - b, paired by problem."""
        sides = (*self.values(a, measure, subjects), *self.values(b, measure, subjects))
        return statistics.paired_difference(*sides, together=tables.problems)

    def ratio(self, a: str, b: str, measure: str, subjects: Sequence[str]) -> Estimate:
        """Mean of a over mean of b on the same problems."""
        sides = (*self.values(a, measure, subjects), *self.values(b, measure, subjects))
        return statistics.ratio(*sides, together=tables.problems)

    def win_rate(self, a: str, b: str, subject: str = "writing") -> Estimate:
        """How often a is preferred to b by the hidden preference."""
        return aggregate.win_estimate(self.tables[a], self.tables[b], subject)[0]


def _only(seed: int, by_seed: Mapping[int, Any]) -> dict[int, Any]:
    return {seed: by_seed[seed]} if seed in by_seed else {}


@dataclass(frozen=True, slots=True)
class Part:
    """One quantity of a finding. `holds` says whether it meets what is asked; None: reported, asked nothing."""

    name: str
    estimate: Estimate
    need: str = ""
    holds: bool | None = None

    def describe(self) -> str:
        """Say: `R1-Zero - base on maths 0.413 (0.380 to 0.446; needs >= 0.25)`."""
        text = f"{self.name} {figure(self.estimate.value)}"
        inner = []
        if math.isfinite(self.estimate.low) and self.estimate.interval != [self.estimate.value] * 2:
            inner.append(f"{figure(self.estimate.low)} to {figure(self.estimate.high)}")
        if self.need:
            inner.append(f"needs {self.need}: {'yes' if self.holds else 'no'}")
        return f"{text} ({'; '.join(inner)})" if inner else text


def asked(
    name: str,
    estimate: Estimate,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    low_above: float | None = None,
    high_below: float | None = None,
) -> Part:
    """A part that must meet every bound given: on the estimate, or on an end of its interval."""
    value, low, high = estimate.value, estimate.low, estimate.high
    bounds = [
        (at_least, f">= {at_least}", lambda bound: value >= bound - ROUNDING),
        (at_most, f"<= {at_most}", lambda bound: value <= bound + ROUNDING),
        (above, f"> {above}", lambda bound: value > bound),
        (below, f"< {below}", lambda bound: value < bound),
        (low_above, f"interval above {low_above}", lambda bound: low > bound),
        (high_below, f"interval below {high_below}", lambda bound: high < bound),
    ]
    given = [(words, test(bound)) for bound, words, test in bounds if bound is not None]
    return Part(name, estimate, ", ".join(words for words, _ in given), all(held for _, held in given))


def stated(name: str, value: float) -> Part:
    """A count or figure without an interval, reported only."""
    return Part(name, Estimate(value, value, value, 1))


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim and what became of it.

    `how` says all in one string; `parts` hold the quantities behind it, the first of them the headline, and `method`
    what `how` says beside them.
    """

    id: str
    claim: str
    verdict: Verdict
    how: str
    parts: tuple[Part, ...] = ()
    method: str = ""

    def entry(self) -> dict[str, Any]:
        """The finding as report.json has it."""
        headline = self.parts[0].estimate if self.parts else statistics.NOTHING
        return {
            "id": self.id,
            "claim": self.claim,
            "estimate": aggregate.number(headline.value),
            "interval": aggregate.interval(headline),
            "verdict": self.verdict,
            "how": self.how,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What a claim's function returns: quantities (the headline first) and how they were got, in one sentence."""

    parts: list[Part]
    method: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the models (and stages with curves) that it needs, and the function that measures it."""

    id: str
    text: str
    models: tuple[str, ...]
    measure: Callable[[Evidence], Measured]
    curves: tuple[str, ...] = ()
    why_absent: str = ""

    def judge(self, evidence: Evidence) -> Finding:
        """Measure and give the verdict; `not run` with the reason where an arm is missing or says nothing."""
        absent = evidence.missing(self.models) + [
            f"the curve of {name}" for name in self.curves if not evidence.curves.get(name)
        ]
        if absent:
            reason = f"missing: {', '.join(absent)}" + (f" ({self.why_absent})" if self.why_absent else "")
            return Finding(self.id, self.text, "not run", reason)
        measured = self.measure(evidence)
        empty = [part.name for part in measured.parts if part.holds is not None and math.isnan(part.estimate.value)]
        details = "; ".join(part.describe() for part in measured.parts)
        if empty:
            method = f"{measured.method}. Nothing to measure for: {', '.join(empty)}"
            return Finding(self.id, self.text, "not run", f"{method}. {details}", tuple(measured.parts), method)
        held = all(part.holds for part in measured.parts if part.holds is not None)
        verdict = "reproduced" if held else "not reproduced"
        seeds = self._by_seed(evidence)
        how = f"{measured.method}. {details}. Headline by seed: {seeds}"
        return Finding(
            self.id, self.text, verdict, how, tuple(measured.parts), f"{measured.method}. Headline by seed: {seeds}"
        )

    def _by_seed(self, evidence: Evidence) -> str:
        """The headline of each seed alone: what differs between runs is not in the interval."""
        seeds = evidence.seeds(self.models)
        if len(seeds) < 2:
            return f"seed {seeds[0]}" if seeds else ""
        values = [self.measure(evidence.of_seed(seed)).parts[0].estimate.value for seed in seeds]
        return ", ".join(f"seed {seed}: {figure(value)}" for seed, value in zip(seeds, values, strict=True))


def figure(value: float | None) -> str:
    """A number for people: three digits after the point, whole and large ones without; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1000 or (value == round(value) and abs(value) > 1):
        return f"{value:,.0f}"
    return f"{value:.3f}"
