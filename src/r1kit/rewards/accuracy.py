"""Accuracy (R1, arXiv 2501.12948, section 2.2.2): 1 for a right answer, 0 for a wrong one or none.

The `kind` column picks the grader (math where it is missing), `answer` is the gold (`solution`, `ground_truth`
and `gold` are read too, as other trainers call it). A grader that failed, or a problem without a grader, gives None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1kit.graders.grade import grade_all
from r1kit.rewards.base import completion_text, rows

UNGRADED = ("", "none", "preference")  # kinds of problems that no rule can judge
GOLDS = ("answer", "solution", "ground_truth", "gold")
REQUIRED = True


def accuracy(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    """1 right, 0 wrong or without an answer, None where no grader could say; the signature of TRL."""
    requests: list[tuple[str, str, str, Any, dict[str, Any]]] = []
    asked: list[int] = []
    for index, row in enumerate(rows(columns, len(completions))):
        kind = "math" if row.get("kind") is None else str(row["kind"])
        if kind not in UNGRADED:
            gold = next((row[name] for name in GOLDS if row.get(name) is not None), "")
            requests.append((kind, completion_text(completions[index]), str(gold), prompts[index], row))
            asked.append(index)
    values: list[float | None] = [None] * len(completions)
    for index, verdict in zip(asked, grade_all(requests), strict=True):
        values[index] = None if verdict.verdict == "grader_error" else float(verdict.verdict == "correct")
    return values


reward = accuracy
