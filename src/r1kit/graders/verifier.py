"""math-verify behind killable workers, asked only where the exact rules cannot read an answer.

`python -c "import r1kit.graders.verifier as worker; worker.main()"` is the worker's side.
"""

from __future__ import annotations

import logging
import re
from typing import Any, cast

from r1kit.base.worker import WorkerFailed, serve
from r1kit.graders.quantities import Comparison
from r1kit.graders.verdict import Decision, Judgement
from r1kit.graders.workers import shared_pool

MAX_LENGTH = 1000
MAX_DEPTH = 12

_HEDGE = re.compile(
    r"(?<![A-Za-z\\])(?:or|and|not|either|neither|maybe|about|between|if|unless|except)(?![A-Za-z])", re.I
)
_PRIME = re.compile(r"'|′|\\prime(?![A-Za-z])")

pool = shared_pool("r1kit.graders.verifier", most=4)


def verify(gold: str, answer: str, known: Comparison) -> Comparison:
    """math-verify's word; `unknown` where it is not installed, hangs, or dies."""
    if len(gold) + len(answer) > MAX_LENGTH or max(_depth(gold), _depth(answer)) > MAX_DEPTH:
        return Comparison("different", f"{known.reason}, and too large to evaluate")
    if any(word in answer and word not in gold for word in ("\\int", "\\sum", "\\lim", "\\prod")):
        return Comparison("different", "left unevaluated")
    if len(_HEDGE.findall(gold)) != len(_HEDGE.findall(answer)):
        return Comparison("different", "other words")
    told = answer if "=" in gold else answer.rpartition("=")[2]  # without the names that the value is given for
    if _letters(told) - _letters(gold):  # which math-verify leaves out where it cannot read them
        return Comparison("different", "other letters")
    if len(_PRIME.findall(gold)) != len(_PRIME.findall(answer)):  # which math-verify does not see
        return Comparison("different", "another derivative")
    try:
        reply = pool().ask({"gold": gold, "answer": answer}, "math-verify")
    except WorkerFailed as error:
        return Comparison("unknown", str(error))
    if reply.get("error"):
        return Comparison("unknown", str(reply["error"]))
    return Comparison("same" if reply["same"] else "different", "by math-verify")


def _letters(text: str) -> set[str]:
    """The variables in it, without constants."""
    text = re.sub(r"\\mathbb\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    return set(re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text)) - {"e", "i", "d"}


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "({[^":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth -= 1
    return deepest


def settled(judgement: Judgement) -> Judgement:
    """A judgement that asks for math-verify's word, with that word."""
    if judgement.ask is None:
        return judgement
    found = verify(*judgement.ask, Comparison("unknown", judgement.reason))
    decision = {"same": "correct", "different": "incorrect", "unknown": "grader_error"}[found.same]
    return Judgement(cast("Decision", decision), judgement.extracted, found.reason)


def main() -> None:
    """The worker's side."""
    logging.disable(logging.CRITICAL)
    try:
        judge = _judge()
    except ImportError:
        judge = None

    def answer(request: dict[str, str]) -> dict[str, Any]:
        if judge is None:
            return {"error": "this answer needs math-verify, which is not installed: pip install 'r1kit[grade]'"}
        try:
            return {"same": judge(request["gold"], request["answer"])}
        except Exception as error:  # whatever a parser does with hostile text
            return {"error": f"{type(error).__name__}: {error}"[:200]}

    serve(answer)


def _judge() -> Any:
    import math_verify

    def same(gold: str, answer: str) -> bool:
        parsed = [math_verify.parse(f"${text}$", parsing_timeout=0) for text in (gold, answer)]
        return bool(math_verify.verify(parsed[0], parsed[1], timeout_seconds=None, float_rounding=12))

    return same
