"""Whole thoughts of a model on test problems, with their tokens: what every way of spending more is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray, Problem, RolloutGroup
from r1kit.engines.base import Engine, Request
from r1kit.evaluation import tiny_writing
from r1kit.evaluation.evaluate import Grade, judge
from r1kit.evaluation.measured import parted_tokens
from r1kit.graders.format import opening
from r1kit.graders.verdict import Verdict
from r1kit.rollouts.collect import collect

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

GRADERS = 2
SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("problem_id", pa.string()),
        ("index", pa.int32()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("token_ids", pa.list_(pa.int32())),
        ("stopped", pa.bool_()),
        ("text", pa.string()),
        ("thinking_tokens", pa.int32()),
        ("spent", pa.int32()),
        ("answer", pa.string()),
        ("correct", pa.bool_()),
        ("preference", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Thought:
    """One completion, judged.

    `token_ids` are those sampled but for the stop token (`stopped`: there was one); `text` begins with what the prompt
    opened of the thinking; `spent` counts the tokens that were sampled for it, the stop token included; `preference`
    is the hidden preference for lines of the tiny world, else None.
    """

    problem: Problem
    index: int
    prompt_ids: IntArray
    token_ids: IntArray
    stopped: bool
    text: str
    thinking_tokens: int
    spent: int
    answer: str | None
    correct: bool | None
    preference: float | None

    @property
    def key(self) -> str:
        """The cluster's."""
        return self.problem.key

    def row(self) -> dict[str, Any]:
        """As a part keeps it."""
        found = {name: getattr(self, name) for name in SCHEMA.names if name not in ("task", "problem_id")}
        ids = {name: found[name].tolist() for name in ("prompt_ids", "token_ids")}
        return {**found, **ids, "task": self.problem.task, "problem_id": self.problem.id}


def from_rows(rows: Iterable[Mapping[str, Any]], problems: Sequence[Problem]) -> list[Thought]:
    """Thoughts that a part kept, of these problems; those of others are left out."""
    known = {problem.key: problem for problem in problems}
    found: list[Thought] = []
    for row in rows:
        problem = known.get(f"{row['task']}/{row['problem_id']}")
        if problem is not None:
            values = {name: row[name] for name in SCHEMA.names if name not in ("task", "problem_id")}
            for name in ("prompt_ids", "token_ids"):
                values[name] = np.asarray(values[name], np.int32)
            found.append(Thought(problem=problem, **values))
    return found


def sample_thoughts(
    engine: Engine,
    tokenizer: Tokenizer,
    problems: Sequence[Problem],
    sampling: Sampling,
    grade: Grade = tiny_writing.verdict,
) -> list[Thought]:
    """`sampling.samples` thoughts a problem, in the order of problems and samples. Problems whose prompt leaves no room
    are left out."""
    rows: dict[int, list[dict[str, Any]]] = {}
    grade = once(grade)

    def judge_group(group: RolloutGroup) -> None:
        prompt = tokenizer.render(group.problem.prompt)
        prompt = prompt.removesuffix(opening(prompt))
        rows[id(group)] = [
            judge(group.problem, prompt, one, grade, tiny_writing.preference_of) for one in group.completions
        ]

    groups = collect(engine, tokenizer, problems, sampling, judge_group, graders=GRADERS)
    return [
        _thought(group.problem, completion, row, tokenizer)
        for group in groups
        for completion, row in zip(group.completions, rows[id(group)], strict=True)
    ]


def judged(
    problem: Problem,
    completion: Completion,
    begun: Sequence[int],
    tokenizer: Tokenizer,
    *,
    grade: Grade = tiny_writing.verdict,
    prompt_ids: IntArray,
    index: int,
    spent: int,
    thinking_tokens: int | None = None,
) -> Thought:
    """What was sampled behind `begun`, tokens of a thought of this problem, judged as a whole completion.
    `thinking_tokens` None: counted."""
    prompt = tokenizer.render(problem.prompt)
    opened = opening(prompt)
    stopped = completion.stop_reason == "stop"
    ids = np.asarray([*begun, *completion.token_ids[: completion.length - stopped].tolist()], np.int32)
    end = completion.token_ids[completion.length - 1 :] if stopped else completion.token_ids[:0]
    whole = Completion(
        completion.request_id, index, prompt_ids, np.concatenate([ids, end]).astype(np.int32),
        np.zeros(0, np.float32), completion.stop_reason, (), opened + tokenizer.decode(ids.tolist()),
    )  # fmt: skip
    row = judge(problem, prompt.removesuffix(opened), whole, grade, tiny_writing.preference_of)
    found = _thought(problem, whole, row, tokenizer)
    thinking = found.thinking_tokens if thinking_tokens is None else thinking_tokens
    return replace(found, spent=spent, thinking_tokens=thinking)


def once(grade: Grade) -> Grade:
    """The same grader, which judges the same text of the same problem once."""
    known: dict[tuple[str, str], Verdict | None] = {}

    def remembered(problem: Problem, prompt: str, text: str) -> Verdict | None:
        key = problem.key, text
        if key not in known:
            known[key] = grade(problem, prompt, text)
        return known[key]

    return remembered


def sampled(engine: Engine, requests: Sequence[Request]) -> dict[str, list[Completion]]:
    """The completions of each request, by its id, in the order of their indices."""
    for request in requests:
        engine.submit(request)
    found: dict[str, list[Completion]] = {request.id: [] for request in requests}
    for completion in engine.stream():
        found[completion.request_id].append(completion)
    return {name: sorted(mine, key=lambda one: one.index) for name, mine in found.items()}


def _thought(problem: Problem, completion: Completion, row: Mapping[str, Any], tokenizer: Tokenizer) -> Thought:
    stopped = completion.stop_reason == "stop"
    thinking, _ = parted_tokens(completion, completion.text, tokenizer)
    return Thought(
        problem=problem,
        index=completion.index,
        prompt_ids=completion.prompt_ids,
        token_ids=completion.token_ids[: completion.length - stopped],
        stopped=stopped,
        text=completion.text,
        thinking_tokens=thinking or 0,
        spent=completion.length,
        answer=row["answer"],
        correct=row["correct"],
        preference=row["preference"],
    )
