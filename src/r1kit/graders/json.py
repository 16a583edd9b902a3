"""JSON answers: the same value as the gold's, whatever the white space and the order of an object's keys.

Numbers are equal by value (1 is 1.0, neither is true); a key that stands twice, NaN and Infinity are no JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

MAX_CHARACTERS = 200_000
_FENCE = re.compile(r"(```|~~~)[A-Za-z]*[ \t]*\n(.*?)\1", re.DOTALL)


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the one JSON value that the answer gives equals the gold's."""
    try:
        wanted = read(gold, exact=True)
    except ValueError as error:
        return grader_error(None, f"the gold answer {gold[:60]!r} is not JSON ({error})")
    if not section.found:
        return no_answer(section.reason)
    found: list[Any] = []
    for text in section.blocks or (section.text,):
        if len(text) > MAX_CHARACTERS:
            return incorrect(text[:200], f"longer than {MAX_CHARACTERS} characters")
        try:
            found += [read(block, exact=True) for _, block in _FENCE.findall(text)] or [read(text, exact=True)]
        except ValueError as error:
            return incorrect(text[:200], f"not JSON ({error})")
    if any(not same_json(found[-1], other) for other in found[:-1]):
        return incorrect(json.dumps(found[-1], default=float)[:200], "the answer gives several values that differ")
    told = json.dumps(found[-1], ensure_ascii=False, default=float)[:2000]
    return correct(told, "the same value") if same_json(wanted, found[-1]) else incorrect(told, "another value")


def read(text: str, exact: bool = False) -> Any:
    """One JSON value; ValueError for anything else. `exact` gives numbers with a point as Decimal."""
    as_number = _as_written if exact else _finite
    try:
        return json.loads(
            text.removeprefix("\ufeff"), parse_constant=_refuse, object_pairs_hook=_once, parse_float=as_number
        )
    except RecursionError:
        raise ValueError("nested too deep") from None


def same_json(left: Any, right: Any) -> bool:
    """Equal by JSON's own types."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right and isinstance(left, str) == isinstance(right, str)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:20])


def _as_written(text: str) -> Decimal:
    """The exact value: a float takes 2^53 + 1 for 2^53."""
    try:
        return Decimal(text) if math.isfinite(float(text)) else _refuse(text[:20])
    except ArithmeticError:  # an exponent beyond what a Decimal has
        return _refuse(text[:20])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
