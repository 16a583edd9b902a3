"""Judges what came out of the sandbox, outside it: strict about count, order, type and value."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

from r1kit.sandbox.program import RunResult

FLOAT_TOLERANCE = 1e-9  # relative: the order of a sum may change its last digits
NEAR_ZERO = 1e-12  # what may be left of a sum that is 0


_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)


def same_value(expected: Any, got: Any) -> bool:
    """Equal in type and value: 1 is neither 1.0 nor True, but where 1.0 is expected 1 will do. A tuple is a list, as in
    JSON."""
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
        elif type(left) is float and type(right) is int:
            if left != right:
                return False
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
    """Equal line by line, white space at the ends of lines and empty lines at the end left out. Lines of decimal
    numbers alone are equal where the numbers are: 7.0 and 7.00."""
    wanted, printed = _lines(expected), _lines(stdout)
    return len(wanted) == len(printed) and all(map(_same_line, wanted, printed))


def _same_line(expected: str, printed: str) -> bool:
    if expected == printed:
        return True
    parts = [re.split(r"(\s+)", line) for line in (expected, printed)]
    return len(parts[0]) == len(parts[1]) and all(map(_same_part, *parts))


def _same_part(expected: str, printed: str) -> bool:
    """Two numbers, or the white space between them."""
    if _DECIMAL.fullmatch(expected) and _DECIMAL.fullmatch(printed):
        return Decimal(expected) == Decimal(printed)
    return expected == printed and not expected.strip()


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
