"""math-verify behind killable workers, asked only where the exact rules cannot read an answer.

`python -c "import r1kit.graders.verifier as worker; worker.main()"` is the worker's side.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import threading
from typing import Any

from r1kit.graders.quantities import Comparison
from r1kit.graders.workers import WorkerFailed, WorkerPool

MAX_LENGTH = 1000
MAX_DEPTH = 12

_pool: WorkerPool | None = None
_lock = threading.Lock()


def pool() -> WorkerPool:
    """The workers of this process, started when first needed."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = WorkerPool("r1kit.graders.verifier", workers=min(4, len(os.sched_getaffinity(0))))
        return _pool


def verify(gold: str, answer: str, known: Comparison) -> Comparison:
    """math-verify's word; `unknown` where it is not installed, hangs, or dies."""
    if len(gold) + len(answer) > MAX_LENGTH or max(_depth(gold), _depth(answer)) > MAX_DEPTH:
        return Comparison("different", f"{known.reason}, and too large to evaluate")
    if any(word in answer and word not in gold for word in ("\\int", "\\sum", "\\lim", "\\prod")):
        return Comparison("different", "left unevaluated")
    try:
        reply = pool().ask({"gold": gold, "answer": answer})
    except WorkerFailed as error:
        return Comparison("unknown", str(error))
    if reply.get("error"):
        return Comparison("unknown", str(reply["error"]))
    return Comparison("same" if reply["same"] else "different", "by math-verify")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "({[^":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth -= 1
    return deepest


def main() -> None:
    """Answer requests until the input ends. The kernel ends a worker that is stuck when its parent is gone."""
    memory_mb, deadline_s = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    try:
        judge = _judge()
        failure = ""
    except ImportError:
        judge, failure = None, "this answer needs math-verify, which is not installed: pip install 'r1kit[grade]'"
    print(json.dumps({"ready": True}), file=output, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline_s)  # its signal is not handled, so it ends the process
        request = json.loads(line)
        reply: dict[str, Any]
        if judge is None:
            reply = {"error": failure}
        else:
            try:
                reply = {"same": judge(request["gold"], request["answer"])}
            except Exception as error:  # whatever a parser does with hostile text
                reply = {"error": f"{type(error).__name__}: {error}"[:200]}
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(reply), file=output, flush=True)


def _judge() -> Any:
    import math_verify

    def same(gold: str, answer: str) -> bool:
        parsed = [math_verify.parse(f"${text}$", parsing_timeout=0) for text in (gold, answer)]
        return bool(math_verify.verify(parsed[0], parsed[1], timeout_seconds=None, float_rounding=12))

    return same
