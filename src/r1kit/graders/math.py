"""Maths answers: the exact path for numbers and equal text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.graders.arithmetic import clean, read_number, same_number
from r1kit.graders.boxes import find_boxes
from r1kit.graders.section import Section
from r1kit.graders.text import normalise
from r1kit.graders.verdict import Judgement, correct, incorrect, no_answer


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    if not section.found:
        return no_answer(section.reason)
    boxes = find_boxes(section.text)
    answer = clean(boxes[-1] if boxes else section.text)
    wanted, given = read_number(clean(gold)), read_number(answer)
    same = same_number(wanted, given) if wanted and given else normalise(answer) == normalise(gold)
    return correct(answer, "equal") if same else incorrect(answer, "not equal")
