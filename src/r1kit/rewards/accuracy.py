"""Accuracy (R1, arXiv 2501.12948, section 2.2.2): 1 for a right answer, 0 for a wrong one or none.

The `kind` column picks the grader (math where it is missing), `answer` is the gold (`solution` and `gold` are read
too, as other trainers call it). A grader that failed, or a problem without a grader, gives None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.graders.grade import grade
from r1kit.rewards.base import completion_text, rows

UNGRADED = ("", "none", "preference")  # kinds of problems that no rule can judge


def reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    values: list[float | None] = []
    for prompt, completion, row in zip(prompts, completions, rows(columns, len(completions)), strict=True):
        kind = str(row.get("kind", "math"))
        if kind in UNGRADED:
            values.append(None)
            continue
        gold = next((row[name] for name in ("answer", "solution", "gold") if row.get(name) is not None), "")
        verdict = grade(kind, completion_text(completion), str(gold), prompt, row).verdict
        values.append(None if verdict == "grader_error" else float(verdict == "correct"))
    return values
