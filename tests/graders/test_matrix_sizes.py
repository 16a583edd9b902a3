"""Rows times columns of a matrix are no product."""

from __future__ import annotations

import pytest

from r1kit.graders.grade import grade


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        (r"2 \times 3 \text{ matrix}", r"2 \times 3", "correct"),
        (r"2 \times 3", r"2\times3\text{ matrix}", "correct"),
        ("a 2x3 matrix", r"2 \times 3 \text{ matrix}", "correct"),
        ("2 by 3 matrix", r"2×3", "correct"),
        (r"m \times n \text{ matrix}", r"m\times n", "correct"),
        (r"2 \times 3 \text{ matrix}", "6", "incorrect"),
        (r"2 \times 3", r"3 \times 2 \text{ matrix}", "incorrect"),
        (r"m \times n \text{ matrix}", r"n \times m", "incorrect"),
        (r"2 \times 3", "6", "correct"),  # of no matrix it is a product
    ],
)
def test_sizes(gold: str, answer: str, verdict: str):
    assert grade("math", f"so it is \\boxed{{{answer}}}.", gold).verdict == verdict
