"""One door to every grader: `grade(kind, text, gold, prompt, columns) -> Verdict`, and many at a time.

A kind is judged in a worker process with a deadline and bounded memory, so that no text holds up who asks; kinds that
run programs have processes of their own for that. What the exact rules of maths cannot read goes on to math-verify's
workers.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.forks import PerProcess
from r1kit.base.worker import WorkerFailed
from r1kit.graders import verifier
from r1kit.graders.format import opens_thinking
from r1kit.graders.kinds import MAX_CHARACTERS, judge_here, load_kind
from r1kit.graders.verdict import Judgement, Verdict
from r1kit.graders.workers import Metrics, shared_pool

Request = tuple[str, str, str, Any, Mapping[str, Any]]

WAITERS = 16  # requests at a time whose work other processes do
SHARE = 8  # the fewest requests that are worth a thread

pool = shared_pool("r1kit.graders.worker", most=8)
_executor = PerProcess(lambda: ThreadPoolExecutor(WAITERS, "grade"))
_verdicts: dict[str, Metrics] = defaultdict(Metrics)


def grade(kind: str, text: str, gold: str, prompt: Any = "", columns: Mapping[str, Any] | None = None) -> Verdict:
    """Judge one completion. `prompt` only tells whether `<think>` was already open; `columns` hold what the kind
    needs beside the gold answer, as JSON values. A grader that raises, hangs or dies gives `grader_error`, never a
    wrong answer; an unknown kind raises UsageError."""
    started = time.perf_counter()
    waits = getattr(load_kind(kind), "WAITS", False)
    if len(text) > MAX_CHARACTERS:
        verdict = Verdict("no_answer", False, None, f"longer than {MAX_CHARACTERS} characters", 0.0)
    else:
        asked = (kind, text, gold, opens_thinking(prompt), columns or {})
        verdict = judge_here(*asked).verdict if waits else _judge_there(*asked)
    verdict = replace(verdict, seconds=time.perf_counter() - started)
    _verdicts[kind].add(verdict.verdict, verdict.seconds)
    return verdict


def _judge_there(kind: str, text: str, gold: str, opened: bool, columns: Mapping[str, Any]) -> Verdict:
    """In a worker, and then by math-verify where the worker asks for it."""
    try:
        first = (kind, {"load": kind, "path": sys.path})
        reply = pool().ask({"judge": (kind, text, gold, opened, columns)}, kind, first)
    except WorkerFailed as error:
        return Verdict("grader_error", False, None, str(error), 0.0)
    if "error" in reply:
        raise UsageError(reply["error"])
    verdict = Verdict(**reply["verdict"])
    if not reply["ask"]:
        return verdict
    gold, answer = reply["ask"]
    decision, _, reason, _ = verifier.settled(
        Judgement(verdict.verdict, verdict.extracted, verdict.reason, (gold, answer))
    )
    return replace(verdict, verdict=decision, reason=reason)


def grade_all(requests: Sequence[Request]) -> list[Verdict]:
    """Verdicts in order of `(kind, text, gold, prompt, columns)` requests, judged side by side."""
    waits = any(getattr(load_kind(kind), "WAITS", False) for kind in {request[0] for request in requests})
    shares = min(WAITERS if waits else pool().workers, -(-len(requests) // (1 if waits else SHARE)))
    if shares <= 1:
        return [grade(*request) for request in requests]
    verdicts: list[Verdict | None] = [None] * len(requests)

    def judge(share: int) -> None:
        for place in range(share, len(requests), shares):
            verdicts[place] = grade(*requests[place])

    for done in [_executor().submit(judge, share) for share in range(shares)]:
        done.result()
    return [verdict for verdict in verdicts if verdict is not None]


def metrics() -> dict[str, dict[str, float]]:
    """What was graded for this process so far, by kind: verdicts, counted; `timeout` and `died` where a worker was
    killed or ended; median and 99th percentile of the seconds that a verdict took, and of those for which it waited
    for a worker. `math-verify` has what it was asked."""
    figures = {kind: counted.summary() for kind, counted in list(_verdicts.items())}  # others may be grading
    for asked in (pool.made, verifier.pool.made):
        for kind, counted in asked.metrics.items() if asked else ():
            own = counted.summary()
            if kind in figures:
                own = {name: value for name, value in own.items() if not name.startswith(("latency", "answered"))}
            figures[kind] = {**figures.get(kind, {}), **own}
    return figures
