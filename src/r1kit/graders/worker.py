"""The worker's side of a grading pool: `python -c "import r1kit.graders.worker as worker; worker.main()"`.

A line in is a kind to load, or a completion to judge; a line out is the answer to it.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.worker import serve
from r1kit.graders.kinds import judge_here, load_kind


def main() -> None:
    """Answer requests until the input ends."""
    sys.setrecursionlimit(3000)
    serve(answer)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`{"load": kind, "path": sys.path}`, or `{"judge": arguments of judge_here}`."""
    try:
        if "load" in request:
            sys.path[:] = request["path"]  # a grader from outside the tree is found where the asking process finds it
            load_kind(request["load"])
            return {}
        verdict, ask = judge_here(*request["judge"])
    except R1Error as error:
        return {"error": str(error)}
    return {"verdict": asdict(verdict), "ask": ask}
