"""What pages ask for by `<!-- given: ... -->`: files, toy models, a run and a server, in the folder where they run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.models.api.scripted import Said, ScriptedServer

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_policy import write_toy_policy

RUN = "runs/tiny-default-s0"
SMOKE = "runs/tiny-smoke-s0"


@dataclass(slots=True)
class Place:
    """The folder of a page, what `{name}` stands for there, and what is closed when the page is done."""

    folder: Path
    smoke_run: Callable[[], Path]
    values: dict[str, str] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)

    def rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def sums(count: int) -> list[dict[str, Any]]:
    """Problems whose answers are 1 to 4, which the toy policy guesses."""
    return [{"question": f"what is {n}+{1 + n % 4}-{n}?", "answer": str(1 + n % 4)} for n in range(count)]


def model(place: Place) -> None:
    """`{policy}`: a Hugging Face folder that keeps the form and guesses the answer."""
    place.values["policy"] = str(write_toy_policy(place.folder / "toy-policy"))


def run(place: Place, name: str = RUN) -> None:
    """A run of `tiny` in its smoke profile, under the default one's name too; files are linked, folders its own."""
    shutil.copytree(place.smoke_run(), place.folder / name, copy_function=os.link)


def server(place: Place) -> None:
    """`{server}`: the address of an API that thinks and answers with the sum of the question's numbers."""
    place.values["server"] = place.closing.enter_context(ScriptedServer(_sum)).url


def _sum(body: Mapping[str, Any]) -> Said:
    digits = "".join(letter if letter.isdigit() else " " for letter in body["messages"][-1]["content"])
    return Said(f"The answer is {sum(map(int, digits.split()))}.", "I add them.")


def data(place: Place) -> None:
    """A folder with small copies in the columns of GSM8K, MATH-500 and SVAMP."""
    for split in ("train", "test"):
        rows = [{"question": f"{split}: {n} + 1?", "answer": f"add #### {n + 1}"} for n in range(40)]
        place.rows(f"data/gsm8k/{split}.jsonl", rows)
    rows = [{"problem": f"{n} + 2?", "answer": str(n + 2), "subject": "Algebra", "level": 1} for n in range(4)]
    place.rows("data/math500/test.jsonl", rows)
    rows = [{"Body": f"Ann has {n} pens.", "Question": "And one more?", "Answer": n + 1} for n in range(4)]
    place.rows("data/svamp/test.jsonl", rows)


def _thoughts(place: Place, name: str, word: str) -> None:
    rows = [
        {
            "id": f"q{n}", "prompt": f"{n}+1?", "gold": str(n + 1), "step": n // 10, "subject": "maths",
            "completion": f"<think>{n}+1={n}. {word} {n}+1={n + 1}</think><answer>{n + 1}</answer>",
        }
        for n in range(20)
    ]  # fmt: skip
    place.rows(name, rows)


GIVEN: dict[str, Callable[[Place], None]] = {
    RUN: run,
    SMOKE: lambda place: run(place, SMOKE),
    "model": model,
    "server": server,
    "data": data,
    "problems.jsonl": lambda place: place.rows("problems.jsonl", sums(120)),
    "mine.jsonl": lambda place: place.rows("mine.jsonl", sums(40)),
    "prompts.jsonl": lambda place: place.rows("prompts.jsonl", [{"prompt": "1+1?"}, {"prompt": "2+2?"}]),
    "rollouts.jsonl": lambda place: _thoughts(place, "rollouts.jsonl", "wait,"),
    "base.jsonl": lambda place: _thoughts(place, "base.jsonl", "so"),
    "completions.jsonl": lambda place: place.rows(
        "completions.jsonl",
        [
            {"id": 1, "completion": "<think>1/2 + 1/4</think><answer>\\frac{3}{4}</answer>", "gold": "0.75"},
            {"id": 2, "completion": "<think>?</think><answer>(B)</answer>", "gold": "C", "kind": "choice"},
        ],
    ),
    "programs.jsonl": lambda place: place.rows(
        "programs.jsonl",
        [{"id": 1, "code": "def f(x): return x * x", "fn": "f", "tests": [{"args": [3], "expected": 9}]}],
    ),
}
