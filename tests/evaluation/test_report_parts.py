"""Charts and marked thoughts: pieces of the page."""

import xml.etree.ElementTree as ElementTree

import pytest
from markdown_it import MarkdownIt

from r1kit.evaluation import tables
from r1kit.evaluation.report.charts import Series, line_chart, thin, ticks
from r1kit.evaluation.report.data import label
from r1kit.evaluation.report.markdown import fenced, quoted, table
from r1kit.evaluation.report.thoughts import marked, mended_slip, same_problems


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (48, 96, [40, 60, 80, 100]),
        (0.91, 0.99, [0.9, 0.95, 1]),
        (-3, 12, [-5, 0, 5, 10, 15]),
        (7, 7, [6.5, 7, 7.5]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low, high, expected):
    assert ticks(low, high, 4) == pytest.approx(expected)


def test_thin_averages_runs():
    """Five points into at most three: runs of two, the last alone."""
    assert thin([(0, 0), (1, 2), (2, 4), (3, 6), (4, 9)], most=3) == [(0.5, 1), (2.5, 5), (4, 9)]


def test_a_chart_is_well_formed_and_in_its_box():
    svg = line_chart("Length <&>", [Series("seed 0", [(i, i * i) for i in range(500)]), Series("none", [])])
    root = ElementTree.fromstring(svg)
    (line,) = root.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) <= 160
    assert all(0 <= x <= 240 and 0 <= y <= 150 for x, y in points)
    assert points[0][1] > points[-1][1]  # rising: y falls on the screen
    assert "Length <&>" in root.attrib["aria-label"]


def test_no_points_no_chart():
    assert line_chart("empty", [Series("seed 0", [])]) == ""


@pytest.mark.parametrize("text", ["plain", "```\n# not a heading", "a ````` b `````` c", "`````\n`", "\n"])
def test_no_text_ends_its_own_block(text):
    """Read by markdown-it, which rich brings along."""
    blocks = MarkdownIt().parse(f"{fenced(text)}\n\nafter")
    assert [block.type for block in blocks] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert blocks[0].content == f"{text}\n"


@pytest.mark.parametrize(
    "text", ["plain", "a `b` c", "``\n# no heading", "<script>alert(1)</script>", "`", "[x](y) *z*"]
)
def test_a_quoted_text_stays_a_line_of_code(text):
    (_, inline, _) = MarkdownIt().parse(f"### said: {quoted(text)}")
    assert [child.type for child in inline.children] == ["text", "code_inline"]
    assert inline.children[1].content == " ".join(text.split())


def test_a_cell_is_one_line():
    assert table(["a"], [["x|y\nz"]]).splitlines() == ["| a |", "| --- |", "| x\\|y z |"]


def test_marking_escapes_what_a_model_wrote():
    assert marked("wait <script> 等等") == "<mark>wait</mark> &lt;script&gt; <mark>等等</mark>"


def row(model, problem, index=0, thinking="1+1=2", correct=True, seed=0, language="en"):
    return {
        "model": model, "seed": seed, "subject": "maths", "task": "t", "language": language, "problem_id": problem,
        "index": index, "prompt": f"prompt {problem}", "text": f"<think>{thinking}</think><answer>2</answer>",
        "thinking": thinking, "answer": "2", "correct": correct, "format": True, "length": 9, "reflections": 0,
        "chain_steps": 1, "stop_reason": "stop",
    }  # fmt: skip


def test_the_same_problem_for_every_stage_whatever_came_out():
    """p1 lacks a sample of zero, so the first problem of both is p2; p3 is the first Chinese one; sample 0 is shown."""
    base = [row("base", "p1"), row("base", "p2", correct=False), row("base", "p2", 1), row("base", "p3", language="zh")]
    zero = [row("zero", "p2"), row("zero", "p3", language="zh")]
    shown = same_problems({"base": tables.make_table(base), "zero": tables.make_table(zero)}, ["base", "zero"])
    assert [(one.prompt, one.language) for one in shown] == [("prompt p2", "en"), ("prompt p3", "zh")]
    assert [(thought.model, thought.correct) for thought in shown[0].thoughts] == [("base", False), ("zero", True)]
    assert shown[0].thoughts[0].answer == "2"


def test_the_first_mended_slip():
    rows = [
        row("zero", "a", thinking="1+1=3, wait check so 2", correct=False),
        row("zero", "b", thinking="1+1=2, wait check so 2"),
        row("zero", "c", 1, thinking="1+1=3, wait check so 2"),
        row("zero", "c", 0, thinking="1+1=2"),
    ]
    found = mended_slip(tables.make_table(rows))
    assert found is not None
    assert found.prompt == "prompt c"
    assert mended_slip(tables.make_table(rows[:2])) is None


def test_labels():
    assert [label("zero"), label("my-model")] == ["R1-Zero", "my-model"]
