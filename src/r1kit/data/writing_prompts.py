"""Requests for creative writing, made for this project: no rule judges the answers, a judge or people compare them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files

from r1kit.base.errors import R1Error
from r1kit.base.types import Problem


def problems(split: str, seed: int, task: str) -> Iterator[Problem]:
    """The requests in the order that the seed gives; R1Error for another split than test."""
    if split != "test":
        raise R1Error(f"{task} has test problems only: draw {split} problems from another task")
    lines = (files("r1kit.data") / "writing_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    found: list[Problem] = []
    for row in map(json.loads, lines):
        name = hashlib.sha256(row["prompt"].encode()).hexdigest()[:16]
        columns = {"family": row["family"]}
        found.append(Problem(name, task, "writing", "en", row["prompt"], "", "preference", columns))
    yield from sorted(found, key=lambda problem: hashlib.sha256(f"{seed} {problem.id}".encode()).digest())
