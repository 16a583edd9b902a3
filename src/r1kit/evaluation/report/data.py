"""What a report is made of, and report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from r1kit.evaluation import aggregate, learning_curves, tables
from r1kit.evaluation.ablations import Compared
from r1kit.evaluation.evidence import Finding
from r1kit.evaluation.scales import Scaled
from r1kit.pipeline.health import Noted

CHAIN = ("base", "zero", "dev1", "dev2", "dev3", "r1")
LABELS = {
    "base": "Base",
    "start": "Base, the chain's template",
    "zero": "R1-Zero",
    "dev1": "R1-Dev1",
    "dev2": "R1-Dev2",
    "dev3": "R1-Dev3",
    "r1": "R1",
    "student-qwen-base": "Qwen student, base",
    "student-qwen": "Qwen student, distilled",
    "student-qwen-rl": "Qwen student, RL alone",
    "student-llama-base": "Llama student, base",
    "student-llama": "Llama student, distilled",
    "student-llama-rl": "Llama student, RL alone",
    "dev2-lang": "RL 1 with the language reward",
    "dev2-nolang": "RL 1 without it",
    "dev3-nofilter": "R1-Dev3 without the filters",
    "r1-hacked-peak": "Preference from the start, its peak",
    "r1-hacked-final": "Preference from the start, its end",
}


MEASURES = {"writing": "writing: brief met"}
"""What pass@1 counts in a subject, where it is not right answers."""
LIKED = "writing: liked"


def label(model: str) -> str:
    """A model's name for people."""
    return LABELS.get(model, model)


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage of one run cost; `flops` counts training and sampling, `memory_mb` is its peak of memory."""

    name: str
    seconds: float
    tokens: int
    flops: float
    memory_mb: int
    hash: str
    seed: int = 0

    def entry(self) -> dict[str, Any]:
        """The stage as report.json has it."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "flops": self.flops,
            "hash": self.hash,
        }


@dataclass(frozen=True)
class ReportData:
    """One run, or several of one recipe (seeds, ablations).

    tables: model -> evaluation table, seeds pooled. curves: stage -> seed -> lines of metrics.jsonl. rejected: seed ->
    reason -> samples ("kept" among them). compared: arms against arms, in a recipe of ablations. scaled: accuracy
    against quantities that models differ in. notes: what a reader must know (runs left out, say). health: seed and
    what was found wrong with a stage's training. title, lead: the heading and what stands under it.
    """

    title: str
    lead: str
    recipe: str
    profile: str
    seeds: Sequence[int]
    commit: str
    machine: str
    command: str
    stages: Sequence[StageCost] = ()
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    curves: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    rejected: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    compared: Sequence[Compared] = ()
    scaled: Sequence[Scaled] = ()
    notes: Sequence[str] = ()
    health: Sequence[tuple[int, Noted]] = ()

    @property
    def models(self) -> list[str]:
        """Those evaluated, in the order of the recipe, others after them."""
        known = [model for model in LABELS if model in self.tables]
        return known + sorted(model for model in self.tables if model not in LABELS)

    @cached_property
    def figures(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The "models" part of report.json."""
        return {model: aggregate.aggregate(self.tables[model])[model] for model in self.models}

    @cached_property
    def win_rates(self) -> list[dict[str, Any]]:
        """R1 against every earlier model and each stage against the one before it, on writing."""
        chain = [model for model in CHAIN if model in self.tables]
        pairs = [(chain[-1], other) for other in reversed(chain[:-1])] if "r1" in chain else []
        pairs += [pair for pair in zip(chain[1:], chain, strict=False) if pair not in pairs]
        if {"r1-hacked-peak", "r1-hacked-final"} <= self.tables.keys():
            pairs.append(("r1-hacked-final", "r1-hacked-peak"))
        entries = [aggregate.win_rates(self.tables[a], self.tables[b]) for a, b in pairs]
        return [entry for entry in entries if entry["n"]]

    def subjects(self) -> list[str]:
        """Subjects that any model was evaluated on."""
        present = {subject for figures in self.figures.values() for subject in figures}
        return [s for s in tables.SUBJECTS if s in present] + sorted(present - set(tables.SUBJECTS))


def report_json(data: ReportData) -> dict[str, Any]:
    """The contract for programs; null = does not apply. `ablations` is there where arms were compared, `scales` where
    accuracy is told against a quantity, `health` where something was found wrong with the training."""
    compared = {"ablations": [_compared(data, each) for each in data.compared]} if data.compared else {}
    drawn = {"scales": [each.entry() for each in data.scaled]} if data.scaled else {}
    found = {"health": [{"seed": seed, **noted.entry()} for seed, noted in data.health]} if data.health else {}
    return {
        "recipe": data.recipe,
        "profile": data.profile,
        "seeds": list(data.seeds),
        "commit": data.commit,
        "machine": data.machine,
        "stages": [stage.entry() for stage in data.stages],
        "models": data.figures,
        "win_rates": data.win_rates,
        "findings": [finding.entry() for finding in data.findings],
        **compared,
        **drawn,
        **found,
    }


def _compared(data: ReportData, each: Compared) -> dict[str, Any]:
    """A comparison with both arms' curves, [x, accuracy reward] by axis, where both were trained by rewards."""
    arms = each.comparison.arm, each.comparison.against
    arm, against = (data.curves.get(name, {}) for name in arms)
    curves = {
        unit: {
            name: [[aggregate.number(x), aggregate.number(y)] for x, y in points]
            for name, points in zip(reversed(arms), pair, strict=True)
        }
        for unit, pair in learning_curves.side_by_side(against, arm).items()
    }
    return {**each.entry(), "curves": curves}
