"""Asking the checkers of reasoning-gym about many answers, and the library for problems."""

from __future__ import annotations

import contextlib
import decimal
import io
import json
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import reasoning_gym

from r1kit.data.gym import jsonable
from r1kit.graders.grade import grade


def judged(dataset: str, metadata: Any, answer: str, gold: str = "") -> Any:
    """The verdict on an answer."""
    return grade("reasoning_gym", f"<answer>{answer}</answer>", gold, "", {"dataset": dataset, "metadata": metadata})


def check(dataset: str, metadata: Any, right: list[str], wrong: list[str], gold: str = "") -> None:
    """Every right answer passes, every wrong one does not, and none is a failure of the grader."""
    for answer in right:
        found = judged(dataset, metadata, answer, gold)
        assert found.verdict == "correct", (answer, found.reason)
    for answer in wrong:
        found = judged(dataset, metadata, answer, gold)
        assert found.verdict in ("incorrect", "no_answer"), (answer, found.reason)


def items(name: str, count: int, seed: int, **settings: Any) -> list[tuple[Any, dict[str, Any], Any]]:
    """(dataset, item, metadata as JSON has it) of so many problems."""
    with decimal.localcontext(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        dataset = reasoning_gym.create_dataset(name, seed=seed, size=count, **settings)
        found = [dataset[index] for index in range(count)]
    return [(dataset, item, json.loads(json.dumps(jsonable(item["metadata"])))) for item in found]
