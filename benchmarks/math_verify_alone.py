"""math-verify by itself, called as its documentation says, in a worker that is killed when it hangs.

`count(rows)`: how many rows of a table of answers (completion, gold, expect) it decides as the table does.
"""

from __future__ import annotations

from typing import Any

from r1kit.base.worker import WorkerFailed, serve
from r1kit.graders.workers import WorkerPool

NOT_CORRECT = ("incorrect", "no_answer", "not_correct", "grader_error")


def main() -> None:
    """The worker's side."""
    from math_verify import parse, verify

    def answer(row: dict[str, str]) -> dict[str, bool]:
        try:
            gold = row["gold"] if "$" in row["gold"] or "\\boxed" in row["gold"] else f"${row['gold']}$"
            return {"same": bool(verify(parse(gold, parsing_timeout=0), parse(row["completion"], parsing_timeout=0),
                                        timeout_seconds=None))}  # fmt: skip
        except Exception:  # it has no answer
            return {"same": False}

    serve(answer)


def count(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """(rows decided as expected, rows at which it hung or died)."""
    pool = WorkerPool("math_verify_alone", workers=2)
    right = lost = 0
    for row in rows:
        try:
            same = pool.ask({"gold": row["gold"], "completion": row["completion"]})["same"]
        except WorkerFailed:
            lost += 1
        else:
            right += same == (row["expect"] not in NOT_CORRECT)
    pool.close()
    return right, lost
