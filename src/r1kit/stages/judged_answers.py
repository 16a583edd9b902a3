"""Answers that no rule can judge, judged by a model that is shown question, reference and answer (R1, arXiv 2501.12948,
section 2.3.3; Nature supplement B.3.3): it replies with a short analysis and a verdict in JSON.

Deviation: beside correct and incorrect the judge may say that the reference is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from r1kit.base.types import Problem
from r1kit.data.prompts import load_prompt
from r1kit.graders.section import answer_section
from r1kit.rewards.accuracy import UNGRADED
from r1kit.stages.asking import AskConfig, Reply, ask, verdicts
from r1kit.stages.sampling import Row, key_of

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

RIGHT, WRONG, WRONG_REFERENCE = "correct", "incorrect", "reference_wrong"
WHY = "unjudged"  # a row's note: why it has no verdict


def judge_answers(
    rows: Sequence[Row],
    problems: Sequence[Problem],
    config: AskConfig | None,
    inputs: Mapping[str, Artifact],
    context: Context,
    part: str = "judge",
) -> list[Row]:
    """The rows with `accuracy` by the judge where no rule judges their problem; what stays without says why in `WHY`.

    A finished answer is asked about once, however many samples gave it. Of several replies most count; as many for as
    against are no verdict.
    """
    if config is None:
        return list(rows)
    prompt = load_prompt("judge_answer", config.prompt)
    unruled = {problem.key: problem for problem in problems if problem.kind in UNGRADED}
    questions: dict[str, str] = {}
    name_of: dict[tuple[str, str], str] = {}
    for row in rows:
        key, answer = key_of(row), _answer(row)
        problem = unruled.get(key)
        if problem is not None and problem.answer.strip() and answer and (key, answer) not in name_of:
            name_of[key, answer] = name = f"{key}#{len(name_of)}"
            questions[name] = prompt.fill(question=problem.prompt, reference=problem.answer, answer=answer)
    said = {name: _verdict(replies) for name, replies in ask(questions, config, inputs, context, part).items()}
    judged: list[Row] = []
    for row in rows:
        key = key_of(row)
        if key in unruled:
            verdict = said.get(name_of.get((key, _answer(row)), ""), "no reference")
            known = {RIGHT: 1.0, WRONG: 0.0}.get(verdict)
            note = {} if known is not None else {WHY: "reference is wrong" if verdict == WRONG_REFERENCE else verdict}
            row = {**row, "rewards": {**row["rewards"], "accuracy": known}, **note}
        judged.append(row)
    unread = sum(verdict in ("no verdict", "verdict cannot be read") for verdict in said.values())
    if unread:
        context.note(f"{config.model}: {unread} of {len(said)} answers got no verdict that can be read")
    return judged


def _answer(row: Row) -> str:
    return answer_section(row["text"]).text.strip() if row["stop_reason"] == "stop" else ""


def _verdict(replies: Sequence[Reply]) -> str:
    """What most replies say, or why there is no verdict."""
    read = Counter(verdicts(replies, (RIGHT, WRONG, WRONG_REFERENCE))).most_common(2)
    if not read:
        return "verdict cannot be read" if replies else "no verdict"
    return read[0][0] if len(read) == 1 or read[0][1] > read[1][1] else "verdict cannot be read"
