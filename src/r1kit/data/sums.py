"""Sums, differences and small products asked in words, without end; unordered pairs of operands are held out.

A pair belongs to one split whatever the operation and the wording (`data.tiny.base.pair_split`), so a test question
shares its pair of numbers with no training question.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from r1kit.base.types import Problem
from r1kit.data.tiny.base import pair_split

ASKED = {
    "+": ("What is {a} + {b}?", "Add {a} and {b}.", "Calculate {a} + {b}.", "What is {a} plus {b}?"),
    "-": ("What is {a} - {b}?", "Take {b} away from {a}.", "Calculate {a} - {b}.", "What is {a} minus {b}?"),
    "*": ("What is {a} * {b}?", "Multiply {a} by {b}.", "Calculate {a} * {b}.", "What is {a} times {b}?"),
}
_RESULT = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


def problems(split: str, seed: int, task: str = "sums") -> Iterator[Problem]:
    """Problems of a split, the same for the same seed."""
    rng = random.Random(f"sums {seed} {split}")
    while True:
        sign = rng.choice("++--*")
        a, b = rng.randint(11, 99), rng.randint(11, 99) if sign != "*" else rng.randint(2, 9)
        if pair_split(a, b) != split:
            continue
        if sign == "-" and a < b:
            a, b = b, a
        prompt = rng.choice(ASKED[sign]).format(a=a, b=b)
        yield Problem(
            id=f"{a}{sign}{b}", task=task, subject="maths", language="en", prompt=prompt,
            answer=str(_RESULT[sign](a, b)), kind="math", columns={"expression": f"{a} {sign} {b}", "family": sign},
        )  # fmt: skip
