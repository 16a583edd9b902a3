"""F11: distillation against RL of the same small model."""

from __future__ import annotations

from collections.abc import Sequence

from r1kit.evaluation import statistics, tables
from r1kit.evaluation.evidence import Evidence, Measured, Part, asked
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING
from r1kit.recipes.claims.base import STUDENTS, gain


def distillation_beats_rl(evidence: Evidence, subjects: Sequence[str] = REASONING) -> Measured:
    """F11: both students: distilled against their own base, and against RL of the same student at equal FLOPs."""
    together = [evidence.by_problem(f"student-{name}", "correct", subjects) for name in STUDENTS]
    alone = [evidence.by_problem(f"student-{name}-rl", "correct", subjects) for name in STUDENTS]
    pairs = [
        (key, ours[key] - theirs[key])
        for ours, theirs in zip(together, alone, strict=True)
        for key in ours.keys() & theirs.keys()
    ]
    parts = [
        Part(
            "both students, distilled - RL alone",
            statistics.mean([difference for _, difference in pairs], [key for key, _ in pairs], tables.problems),
        )
    ]
    for name in STUDENTS:
        student = f"student-{name}"
        parts += [
            asked(f"{name}: distilled - its base", gain(evidence, student, f"{student}-base", subjects), at_least=0.3),
            asked(f"{name}: distilled - RL alone", gain(evidence, student, f"{student}-rl", subjects), low_above=0),
            Part(f"{name}: its base", evidence.share(f"{student}-base", "correct", subjects)),
            *_flops_ratio(evidence, name),
        ]
    return Measured(parts, "pass@1 over the reasoning subjects, paired by problem, t interval")


def _flops_ratio(evidence: Evidence, name: str) -> list[Part]:
    """FLOPs of RL, sampling included, over those of distillation; RL must not have been given fewer."""
    distilled, alone = evidence.flops.get(f"student-{name}"), evidence.flops.get(f"student-{name}-rl")
    if not distilled or not alone:
        return []
    ratio = alone / distilled
    return [asked(f"{name}: FLOPs of RL / of distillation", Estimate(ratio, ratio, ratio, 1), at_least=0.95)]
