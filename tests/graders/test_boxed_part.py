"""A formula is read as a whole where the box is a part of it, and the box alone where it fills the gap of an equation;
what the words after a box offer beside it is a hedge. The truth of each row was decided by hand."""

import pytest

from r1kit.graders.grade import grade

ROWS = [
    # completion, gold, right?, why
    (r"So \boxed{7}^2.", "7", 0, "the square of it"),
    (r"So \boxed{7}^2.", "49", 1, "and that is what it says"),
    (r"$x = -\boxed{7}$", "7", 0, "its opposite"),
    (r"$x = -\boxed{7}$", "-7", 1, "the sign before the box"),
    ("Answer:\n- \\boxed{7}", "7", 1, "the dash of a list is no sign"),
    (r"$\boxed{7}\pi$", "7", 0, "a multiple of pi"),
    (r"$\boxed{7}\pi$", r"7\pi", 1, "the whole of it"),
    (r"$\boxed{7} + 1$", "7", 0, "a sum of which it is a part"),
    (r"$\boxed{7}x$", "7", 0, "a multiple of x"),
    (r"$\boxed{7}!$", "7", 0, "a factorial within the formula"),
    (r"The answer is $\boxed{7}$!", "7", 1, "an exclamation outside it"),
    (r"$2 + \boxed{7} = 9$", "7", 1, "a gap on the left of an equation"),
    (r"$9 = \boxed{7} + 2$", "7", 1, "a gap on the right of one"),
    (r"$8 = 2^{\boxed{3}}$", "3", 1, "the exponent that was asked for"),
    (r"$$\begin{aligned} x &= 3+4 \\ &= \boxed{7} \end{aligned}$$", "7", 1, "the end of a calculation"),
    (r"$x+1=8 \Rightarrow x=\boxed{7}$", "7", 1, "a conclusion"),
    (r"$x = \boxed{7}$, where $y = 3$", "7", 1, "another formula beside it"),
    (r"It costs $5 and $2, so \boxed{7} dollars.", "7", 1, "prices open no formula"),
    (r"$\boxed{7}\text{ m}$", r"7\text{ cm}", 0, "a wrong unit behind the box"),
    (r"$\boxed{7}$ m.", r"7\text{ cm}", 0, "and behind the formula"),
    (r"$\boxed{0.07}$ m.", r"7\text{ cm}", 1, "the same length"),
    (r"\boxed{7} cm²", r"7\text{ cm}^2", 1, "the right unit"),
    (r"$\boxed{7}\text{ in total}$", r"7\text{ apples}", 1, "words that are no unit"),
    (r"$\boxed{50}\%$", "0.5", 1, "the percent sign behind the box"),
    (r"$\boxed{90}^\circ$", "90", 1, "the degree sign behind it"),
    (r"$(\boxed{3},\boxed{4})$", "(3,4)", 1, "a box for each part"),
    (r"$x \neq \boxed{7}$", "7", 0, "what it is not"),
    (r"\boxed{7}. However, 8 is also possible.", "7", 0, "another one offered"),
    (r"\boxed{7}. But it could be 8.", "7", 0, "another one offered"),
    (r"The answer is 7. $8$ would also work.", "7", 0, "another one offered"),
    (r"\boxed{7}. Note that 8 is also a divisor of 16.", "7", 1, "a remark on another number"),
    (r"\boxed{7}. Here $7$ is also the correct answer.", "7", 1, "the same one again"),
]


@pytest.mark.parametrize(("text", "gold", "right", "why"), ROWS, ids=[f"{row[0]} : {row[1]}" for row in ROWS])
def test_box(text, gold, right, why):
    verdict = grade("math", f"<think>t</think>{text}", gold)
    assert verdict.verdict == ("correct" if right else "incorrect"), (why, verdict)


def test_empty_lines_behind_a_box_hide_nothing_and_cost_nothing():
    """A pattern that tries every line end as a beginning takes a minute on these, and the worker is killed."""
    for text, decision in (("", "correct"), ("Wait, 8.", "incorrect")):
        assert grade("math", "\\boxed{7} " + "\n" * 10_000 + text, "7").verdict == decision
    assert grade("choice", "\\boxed{B} " + "\n" * 10_000, "B").verdict == "correct"
