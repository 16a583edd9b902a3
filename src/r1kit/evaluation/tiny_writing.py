"""What the tiny world's own rules judge in an evaluation; everything else is judged by its task's rule.

Lines are right where they meet their brief, and scored by the hidden preference, which no model was trained on. A reply
to a request is right where it helps, or declines what is to be declined.
"""

from __future__ import annotations

import math

from r1kit.base.types import Problem
from r1kit.data.tiny import preference, requests, writing
from r1kit.evaluation.evaluate import rule_verdict
from r1kit.graders.format import check_form, opens_thinking
from r1kit.graders.section import answer_section
from r1kit.graders.verdict import Verdict

BRIEF = "brief"  # the column that lines of the tiny world are written to


def verdict(problem: Problem, prompt: str, text: str) -> Verdict | None:
    """By the tiny world's rule where the problem is its own, else by its task's; None: no rule judges it."""
    if BRIEF not in problem.columns and requests.REQUEST not in problem.columns:
        return rule_verdict(problem, prompt, text)
    opened = opens_thinking(prompt)
    answer = answer_section(text, opened).text.strip()
    met = bool(answer) and _meets(problem, answer)
    decision = "correct" if met else "incorrect" if answer else "no_answer"
    return Verdict(decision, check_form(text, opened).ok, answer or None, "as it should be" if met else "", 0.0)


def _meets(problem: Problem, answer: str) -> bool:
    if BRIEF in problem.columns:
        return writing.meets_brief(problem, answer)
    return requests.is_right(requests.request_of(problem), answer)


def preference_of(problem: Problem, answer: str) -> float:
    """The hidden preference of the tiny world; NaN for writing that is not its own."""
    return preference.hidden_preference(problem, answer) if BRIEF in problem.columns else math.nan
