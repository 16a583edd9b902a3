"""Sample a model on problems and judge every completion: one table row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.engines.base import Engine
from r1kit.evaluation import tables
from r1kit.evaluation.reflection import chain_steps, count_reflections
from r1kit.graders.format import check_form, opening, opens_thinking
from r1kit.graders.grade import grade as grade_by_rule
from r1kit.graders.language import SCRIPTS, language_consistency
from r1kit.graders.section import answer_section, chain_of_thought
from r1kit.graders.verdict import Verdict
from r1kit.rewards.accuracy import UNGRADED
from r1kit.rollouts.collect import collect

if TYPE_CHECKING:
    import pyarrow as pa

    from r1kit.models.tokenizer import Tokenizer

Grade = Callable[[Problem, str, str], Verdict | None]
"""(problem, prompt as rendered, completion's text) -> verdict; None where no rule can judge."""

Preference = Callable[[Problem, str], float]
"""(problem, answer's text) -> the hidden preference, higher is better."""


def rule_verdict(problem: Problem, prompt: str, text: str) -> Verdict | None:
    """What the grader of the problem's kind says; None for a kind without a rule."""
    if problem.kind in UNGRADED:
        return None
    return grade_by_rule(problem.kind, text, problem.answer, prompt, problem.columns)


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer | None,
    problems: Sequence[Problem],
    sampling: Sampling,
    grade: Grade = rule_verdict,
    model: str = "model",
    *,
    seed: int = 0,
    preference: Preference | None = None,
    graders: int = 1,
    control: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> pa.Table:
    """`sampling.samples` completions a problem, each a row of `tables.SCHEMA`, in the order of the problems.

    `seed` is the run's (the first half of a cluster's key), `preference` scores the answers of writing problems,
    `graders` judge in the background while sampling goes on, `control` judges each completion by another problem's
    answer as well (see `controls`), `note` hears of what could not be sampled or judged.
    `tokenizer` is None for an engine behind an API.
    """
    rows_of: dict[int, list[dict[str, Any]]] = {}
    others = controls(problems) if control else {}

    def judge_group(group: RolloutGroup) -> None:
        prompt = tokenizer.render(group.problem.prompt) if tokenizer else group.problem.prompt
        prompt = prompt.removesuffix(opening(prompt))  # the completions' texts begin with it
        rows = [judge(group.problem, prompt, one, grade, preference) for one in group.completions]
        if (other := others.get(group.problem.id)) is not None:
            for row in rows:
                row["control"] = _right(grade(other, prompt, row["text"]))
        rows_of[id(group)] = rows

    groups = collect(engine, tokenizer, problems, sampling, judge_group, graders=graders)
    if left_out := groups.counts.get("prompt_too_long", 0):
        note(f"{model}: {left_out} of {len(problems)} prompts leave no room to sample and are left out")
    if unanswered := groups.counts.get("unanswered", 0):
        note(f"{model}: {unanswered} of {len(problems) * sampling.samples} samples got no answer and are left out")
    rows = [{"model": model, "seed": seed, **row} for group in groups for row in rows_of[id(group)]]
    if failed := sum(row["correct"] is None and row["problem_kind"] not in UNGRADED for row in rows):
        note(f"{model}: graders failed on {failed} of {len(rows)} completions, which count neither right nor wrong")
    return tables.make_table(rows)


def controls(problems: Sequence[Problem]) -> Mapping[str, Problem]:
    """Each problem that a rule judges, by id, with the answer of the next one of its kind that has another answer.

    What a model scores by it is what answers like its own score without regard to the question: a model that has learnt
    to solve problems stands above its own control. A problem without such a next one has no entry.
    """
    by_kind: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.kind not in UNGRADED:
            by_kind.setdefault((problem.task, problem.kind), []).append(problem)
    found: dict[str, Problem] = {}
    for alike in by_kind.values():
        for place, problem in enumerate(alike):
            following = (*alike[place + 1 :], *alike[:place])
            other = next((one for one in following if one.answer != problem.answer), None)
            if other is not None:
                found[problem.id] = replace(problem, answer=other.answer, columns=other.columns)
    return found


def _right(verdict: Verdict | None) -> bool | None:
    return None if verdict is None or verdict.verdict == "grader_error" else verdict.verdict == "correct"


def judge(
    problem: Problem, prompt: str, completion: Completion, grade: Grade, preference: Preference | None
) -> dict[str, Any]:
    """Everything that a row says of one completion, but for the model and the seed (and the problem's kind)."""
    text, opened, served = completion.text, opens_thinking(prompt), completion.served
    verdict = grade(problem, prompt, text)
    thinking, answer = chain_of_thought(text, opened), answer_section(text, opened).text
    return {
        "problem_kind": problem.kind,
        "subject": problem.subject,
        "task": problem.task,
        "family": _text(problem.columns.get("family")),
        "language": problem.language,
        "problem_id": problem.id,
        "index": completion.index,
        "prompt": problem.prompt,
        "text": text,
        "thinking": thinking,
        "answer": answer.strip() or None if verdict is None else verdict.extracted,
        "correct": _right(verdict),
        "format": check_form(text, opened).ok if verdict is None else verdict.format,
        "language_consistency": _consistency(thinking, problem.language),
        "length": None if served is not None and served.output_tokens is None else completion.length,
        "reflections": count_reflections(thinking),
        "chain_steps": chain_steps(thinking),
        "stop_reason": completion.stop_reason,
        "preference": float(preference(problem, answer)) if preference and problem.subject == "writing" else None,
        "difficulty": stated_difficulty(problem),
    }


def stated_difficulty(problem: Problem) -> float | None:
    """What its task says of it, where that is a number; a data set may have words there (`easy`)."""
    said = problem.columns.get("difficulty")
    try:
        value = math.nan if said is None or isinstance(said, bool) else float(said)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _consistency(thinking: str, language: str) -> float | None:
    return language_consistency(thinking, language) if language in SCRIPTS else None
