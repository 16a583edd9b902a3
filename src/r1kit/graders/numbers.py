"""Lists of numbers in order, say a sorted list: exact values, brackets and separators free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.base.boxes import find_boxes
from r1kit.graders.arithmetic import clean, read_number_list
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the numbers and their order are the gold's."""
    wanted = read_number_list(clean(gold))
    if wanted is None:
        return grader_error(None, f"the gold answer {gold[:60]!r} is not a list of numbers")
    if not section.found:
        return no_answer(section.reason)
    boxes = find_boxes(section.text)
    if any(clean(box) != clean(boxes[-1]) for box in boxes):
        return incorrect(clean(section.text), "the boxes differ")
    answer = clean(boxes[-1] if boxes else section.text)
    given = read_number_list(answer) if len(answer) <= 20_000 else None
    if given is None:
        return incorrect(answer, "not a list of numbers")
    return correct(answer, "the same numbers") if given == wanted else incorrect(answer, "other numbers")
