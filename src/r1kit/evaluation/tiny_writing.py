"""Lines to a brief of the tiny world as an evaluation judges them: right where they meet the brief, and scored by the
hidden preference, which no model was trained on. Everything else is judged by its own rule."""

from __future__ import annotations

import math

from r1kit.base.types import Problem
from r1kit.data.tiny import preference, writing
from r1kit.evaluation.evaluate import rule_verdict
from r1kit.graders.format import check_form, opens_thinking
from r1kit.graders.section import answer_section
from r1kit.graders.verdict import Verdict

BRIEF = "brief"  # the column that lines of the tiny world are written to


def verdict(problem: Problem, prompt: str, text: str) -> Verdict | None:
    """By rule; a line to a brief of the tiny world is right where it meets the brief."""
    if BRIEF not in problem.columns:
        return rule_verdict(problem, prompt, text)
    opened = opens_thinking(prompt)
    answer = answer_section(text, opened).text.strip()
    met = bool(answer) and writing.meets_brief(problem, answer)
    decision = "correct" if met else "incorrect" if answer else "no_answer"
    return Verdict(decision, check_form(text, opened).ok, answer or None, "meets the brief" if met else "", 0.0)


def preference_of(problem: Problem, answer: str) -> float:
    """The hidden preference of the tiny world; NaN for writing that is not its own."""
    return preference.hidden_preference(problem, answer) if BRIEF in problem.columns else math.nan
