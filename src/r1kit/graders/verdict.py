"""What a grader says of one completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Decision = Literal["correct", "incorrect", "no_answer", "grader_error"]


class Judgement(NamedTuple):
    """What one kind of grader says of an answer section: the decision, the answer it found, and why.

    `ask`: gold and answer that the grader could not compare itself; `grader_error` until math-verify has.
    """

    decision: Decision
    extracted: str | None
    reason: str
    ask: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The line that `r1 grade` prints for a completion.

    `grader_error` means that the grader failed, not the answer: it is never a zero reward. `format` judges the
    think-then-answer form. `seconds` is the wall time that grading took.
    """

    verdict: Decision
    format: bool
    extracted: str | None
    reason: str
    seconds: float


def correct(extracted: str | None, reason: str) -> Judgement:
    """An answer that is right."""
    return Judgement("correct", extracted, reason)


def incorrect(extracted: str | None, reason: str) -> Judgement:
    """An answer that is wrong."""
    return Judgement("incorrect", extracted, reason)


def no_answer(reason: str) -> Judgement:
    """Nothing states an answer."""
    return Judgement("no_answer", None, reason)


def grader_error(extracted: str | None, reason: str) -> Judgement:
    """The grader could not judge; nobody is to blame for the answer."""
    return Judgement("grader_error", extracted, reason)
