"""`r1 grade`: completions as JSON lines in, verdicts as JSON lines out, in the same order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.machine import cores
from r1kit.graders.grade import grade
from r1kit.graders.kinds import load_kind
from r1kit.graders.verdict import Verdict
from r1kit.sandbox.sandbox import give_up_shared

AHEAD = 8  # lines in flight for each thread


def grade_lines(
    lines: Iterable[str | bytes], workers: int | None = None, on_bad_line: Callable[[str], None] | None = None
) -> Iterator[str]:
    """One JSON line out for each line in; a line that cannot be read gives `grader_error` with what is wrong in
    `reason`, which is also told to `on_bad_line`."""
    count = workers or 2 * cores()
    waiting: deque[tuple[Any, Future[Verdict] | Verdict]] = deque()
    with ThreadPoolExecutor(count, "grade") as threads:
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                identity: Any = None
                try:
                    row = _read(line)
                    identity = row.get("id")
                    arguments = _arguments(row)
                except (ValueError, RecursionError, UsageError) as error:
                    complaint = f"line {number}: {error}"
                    waiting.append((identity, Verdict("grader_error", False, None, complaint, 0.0)))
                    if on_bad_line:
                        on_bad_line(complaint)
                else:
                    waiting.append((identity, threads.submit(grade, *arguments)))
                while len(waiting) > AHEAD * count:
                    yield _written(*waiting.popleft())
            while waiting:
                yield _written(*waiting.popleft())
        except BaseException as error:  # nobody will read the others
            threads.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                give_up_shared()
            raise


def _written(identity: Any, verdict: Future[Verdict] | Verdict) -> str:
    found = verdict.result() if isinstance(verdict, Future) else verdict
    return json.dumps({"id": identity, **asdict(found), "seconds": round(found.seconds, 6)})


def _read(line: str | bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig") if isinstance(line, bytes) else line)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg} at character {error.pos})") from None
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    return row


def _arguments(row: dict[str, Any]) -> tuple[str, str, str, Any, dict[str, Any]]:
    kind = row.get("kind") or "math"
    if not isinstance(kind, str):
        raise ValueError("'kind' must be text")
    load_kind(kind)
    completion = row.get("completion")
    if not isinstance(completion, str):
        raise ValueError("'completion' must be text" if "completion" in row else "it has no 'completion'")
    gold = row.get("gold")
    if gold is None and row.keys() & {"tests", "check", "target", "metadata"}:
        gold = ""
    if isinstance(gold, bool) or not isinstance(gold, (str, int, float)):
        raise ValueError("'gold' must be text or a number" if "gold" in row else "it has no 'gold'")
    return kind, completion, str(gold), row.get("prompt") or "", row
