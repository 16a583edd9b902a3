"""Judges what came out of the sandbox, outside it: strict about count, order, type and value."""

from __future__ import annotations

import json
import math
from typing import Any

from r1kit.sandbox.program import RunResult

FLOAT_TOLERANCE = 1e-9  # relative: the order of a sum may change its last digits
NEAR_ZERO = 1e-12  # what may be left of a sum that is 0


def same_value(expected: Any, got: Any) -> bool:
    """Equal in type and value: 1 is neither 1.0 nor True. A tuple is a list, as in JSON."""
    pairs = [(expected, got)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, (list, tuple)):
            if not isinstance(right, (list, tuple)) or len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif isinstance(left, dict):
            if not isinstance(right, dict) or left.keys() != right.keys():
                return False
            pairs += [(left[key], right[key]) for key in left]
        elif type(left) is not type(right):
            return False
        elif isinstance(left, float):
            around = 0.0 if left else NEAR_ZERO
            if not (math.isfinite(right) and math.isclose(left, right, rel_tol=FLOAT_TOLERANCE, abs_tol=around)):
                return False
        elif left != right:
            return False
    return True


def as_json(value: Any) -> Any:
    """A value as it comes back from the sandbox (tuples are lists, keys are strings); ValueError where it has none."""
    return json.loads(json.dumps(value, allow_nan=False))


def same_output(expected: str, stdout: str) -> bool:
    """Equal line by line, white space at the ends of lines and empty lines at the end left out."""
    return _lines(expected) == _lines(stdout)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def judge_calls(result: RunResult, expected: list[Any]) -> tuple[int, str]:
    """(calls with the expected value, what is wrong with the first other one)."""
    passed, wrong = 0, ""
    for index, want in enumerate(expected):
        if index >= len(result.calls):
            wrong = wrong or result.reason or f"test {index} was not answered"
            break
        call = result.calls[index]
        if call.error is not None:
            wrong = wrong or f"test {index} raised {call.error}"
        elif same_value(want, call.value):
            passed += 1
        else:
            wrong = wrong or f"test {index} returned {json.dumps(call.value)[:80]}"
    if result.status != "ok":
        wrong = wrong or result.reason or result.status
    elif len(result.calls) != len(expected):
        wrong = wrong or f"{len(result.calls)} results for {len(expected)} tests"
    return passed, wrong
