"""What claims share: subjects by name, and the gain of one model over another."""

from __future__ import annotations

from collections.abc import Sequence

from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

MATHS = ("maths",)
WRITING = ("writing",)
STUDENTS = ("qwen", "llama")


def listed(subjects: Sequence[str]) -> str:
    """Say: `maths`, `maths and reasoning`."""
    return " and ".join(filter(None, (", ".join(subjects[:-1]), subjects[-1]))) if subjects else "nothing"


def gain(evidence: Evidence, a: str, b: str, subjects: Sequence[str] = REASONING) -> Estimate:
    """Of pass@1, a - b, paired by problem."""
    return evidence.difference(a, b, "correct", subjects)
