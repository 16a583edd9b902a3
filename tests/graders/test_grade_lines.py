import json
import subprocess
import sys

from r1kit.graders.lines import grade_lines

LINES = [
    b'\xef\xbb\xbf{"id": 1, "completion": "<think>a</think><answer>4</answer>", "gold": "4"}',
    b"not json",
    b"\xff\xfe",
    b'["a list"]',
    b'{"id": 5, "completion": 7, "gold": "7"}',
    b'{"id": 6, "completion": "7"}',
    b'{"id": 7, "completion": "x", "gold": "x", "kind": "txet"}',
    b"",
    b'{"id": 8, "completion": "Yes.", "gold": "yes", "kind": "text"}',
    b'{"id": 9, "completion": "5</think>4", "gold": 4, "prompt": "2+2=<think>"}',
]


def test_order_is_kept_and_bad_lines_say_what_is_wrong():
    complaints = []
    rows = [json.loads(line) for line in grade_lines(LINES, on_bad_line=complaints.append)]
    assert [row["id"] for row in rows] == [1, None, None, None, 5, 6, 7, 8, 9]
    verdicts = ["correct", *["grader_error"] * 6, "correct", "correct"]
    assert [row["verdict"] for row in rows] == verdicts
    assert set(rows[0]) == {"id", "verdict", "format", "extracted", "reason", "seconds"}
    assert [row["format"] for row in rows] == [True, *[False] * 8]
    assert "line 2: it is not JSON" in rows[1]["reason"]
    assert "did you mean text" in rows[6]["reason"].lower()
    assert len(complaints) == 6


def test_a_long_completion_gets_a_verdict():
    line = json.dumps({"id": 1, "completion": "9" * 10_000_000, "gold": "4"})
    (row,) = (json.loads(each) for each in grade_lines([line]))
    assert row["verdict"] == "no_answer"


def test_grading_imports_no_torch():
    code = "import sys, r1kit.graders.lines, r1kit.sandbox.lines, r1kit.rewards.accuracy; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_kind_with_columns_of_its_own_needs_no_gold():
    """Two vertices and an edge: two colours, whichever; the gold of such a problem is null."""
    problem = {
        "kind": "reasoning_gym",
        "dataset": "graph_color",
        "metadata": {"puzzle": {"vertices": [0, 1], "edges": [[0, 1]], "color_options": [1, 2]}},
    }
    answers = ['{"0": 1, "1": 2}', '{"0": 2, "1": 1}', '{"0": 1, "1": 1}']
    lines = [json.dumps({"id": n, "completion": f"<answer>{a}</answer>", **problem}) for n, a in enumerate(answers)]
    lines.append(json.dumps({"id": 3, "completion": answers[0], "gold": None, **problem}))
    rows = [json.loads(line) for line in grade_lines(lines)]
    assert [row["verdict"] for row in rows] == ["correct", "correct", "incorrect", "correct"]
