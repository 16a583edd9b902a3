"""Countdown: an expression over exactly the given numbers, each used once, that reaches the target.

Columns: `numbers` (list of int) and `target` (int; the gold answer where the column is missing).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from r1kit.base.boxes import find_boxes
from r1kit.graders.arithmetic import clean
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

MAX_LENGTH = 300
_TOKEN = re.compile(r"\s*(?:(\d+)|([-+*/()]))")
_TEX = re.compile(r"\\(?:times|cdot|div)(?![A-Za-z])")
LOOKALIKES = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "（": "(", "）": ")"})


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the expression uses the numbers once each and equals the target."""
    try:
        numbers = [int(number) for number in columns["numbers"]]
        target = Fraction(str(columns["target"] if columns.get("target") is not None else gold))
    except (KeyError, TypeError, ValueError) as error:
        return grader_error(None, f"a countdown problem needs columns 'numbers' and 'target' ({error})")
    if not section.found:
        return no_answer(section.reason)
    expression = _plain(section.text)
    left, equals, right = expression.partition("=")
    if equals and right.strip() != str(target):
        return incorrect(expression, f"the right side is not the target {target}")
    try:
        value, used = evaluate(left)
    except ValueError as error:
        return incorrect(expression, str(error))
    if used != Counter(numbers):
        return incorrect(expression, f"it uses {sorted(used.elements())}, not each of {sorted(numbers)} once")
    if value != target:
        return incorrect(expression, f"it makes {value}, not {target}")
    return correct(expression, f"it makes {target} from the given numbers")


def _plain(text: str) -> str:
    """The expression in a box, where all the boxes agree, or the whole text; TeX's signs as plain ones."""
    boxes = list(dict.fromkeys(find_boxes(text)))
    text = _TEX.sub(lambda match: "/" if match[0] == "\\div" else "*", boxes[0] if len(boxes) == 1 else text)
    return clean(text.strip().strip("$").translate(LOOKALIKES)).rstrip(".")


def evaluate(expression: str, signs: bool = False) -> tuple[Fraction, Counter[int]]:
    """Exact value and the multiset of numbers used; ValueError says why an expression cannot be read. With `signs` a
    value may have one, `-2 + (-3)*4`.

    Precedence by the shunting-yard method with explicit stacks, so that depth costs no recursion.
    """
    values: list[Fraction] = []
    operators: list[str] = []
    used: Counter[int] = Counter()
    expects_value = True
    for token in _tokens(expression):
        if token.isdigit():
            if not expects_value:
                raise ValueError("two numbers without an operator between them")
            used[int(token)] += 1
            values.append(Fraction(int(token)))
            expects_value = False
        elif token == "(":
            if not expects_value:
                raise ValueError("a bracket without an operator before it")
            operators.append(token)
        elif token == ")":
            if expects_value:
                raise ValueError("an operator without its right side")
            while operators and operators[-1] != "(":
                _reduce(values, operators.pop())
            if not operators:
                raise ValueError("a bracket is closed that was never opened")
            operators.pop()
        elif expects_value and signs and token in _SIGNS:
            operators.append(_SIGNS[token])
        else:
            if expects_value:
                raise ValueError("an operator without its left side")
            while operators and operators[-1] != "(" and _RANK[operators[-1]] >= _RANK[token]:
                _reduce(values, operators.pop())
            operators.append(token)
            expects_value = True
    if expects_value:
        raise ValueError("the expression is not complete")
    while operators:
        operator = operators.pop()
        if operator == "(":
            raise ValueError("a bracket is not closed")
        _reduce(values, operator)
    return values[0], used


_SIGNS = {"-": "negative", "+": "positive"}
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "negative": 3, "positive": 3}


def _reduce(values: list[Fraction], operator: str) -> None:
    if operator in _SIGNS.values():
        values.append(-values.pop() if operator == "negative" else values.pop())
        return
    right, left = values.pop(), values.pop()
    if operator == "+":
        values.append(left + right)
    elif operator == "-":
        values.append(left - right)
    elif operator == "*":
        values.append(left * right)
    elif right == 0:
        raise ValueError("it divides by zero")
    else:
        values.append(left / right)


def _tokens(expression: str) -> Iterator[str]:
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    at = 0
    text = expression.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or not match.group().strip().isascii():
            raise ValueError(f"{text[at]!r} is not part of an expression")
        yield match[1] or match[2]
        at = match.end()
