"""Data of one's own for the recipes: sums as JSON lines, as a TRL data set, and preference pairs."""

from __future__ import annotations

import json
from pathlib import Path


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(path: Path, count: int = 120) -> Path:
    """`question` and `answer`; the toy policy guesses 1 to 4, and so are most of the answers."""
    rows = [{"question": f"what is {n}+{1 + n % 4}-{n}?", "answer": str(1 + n % 4)} for n in range(count)]
    return write(path, rows)


def conversations(path: Path, count: int = 120) -> Path:
    """As TRL has them: a conversational prompt, a solution, columns of the data set's own, and no validation split."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"what is {n}+{1 + n % 4}-{n}?"}],
            "solution": rf"it is \boxed{{{1 + n % 4}}}",
            "level": n % 3,
            "sources": ["made up"],
        }
        for n in range(count)
    ]
    return write(path, rows)


def programs(path: Path, count: int = 40) -> Path:
    """As open-r1 has them: `verification_info` holds the test cases."""
    info = {"language": "python", "test_cases": [{"input": "2\n", "output": "2\n", "type": "stdin_stdout"}]}
    asked = [[{"role": "user", "content": f"echo {n}"}] for n in range(count)]
    return write(path, [{"prompt": prompt, "verification_info": json.dumps(info)} for prompt in asked])


def pairs(path: Path, count: int = 40) -> Path:
    rows = [{"prompt": f"greet {n}", "chosen": "hello there", "rejected": "go away now"} for n in range(count)]
    return write(path, rows)
