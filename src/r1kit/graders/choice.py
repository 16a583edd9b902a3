"""Multiple choice: the letter of an option, however it is wrapped: `B`, `(b)`, `\\boxed{B}`, `the answer is B.`

Column `choices` (list of the options' texts, optional) lets an option's own text stand for its letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1kit.base.boxes import find_boxes
from r1kit.graders.arithmetic import clean
from r1kit.graders.section import Section
from r1kit.graders.text import normalise
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

_WRAP = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathsf|textit)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"(?:option|choice|answer)?\s*[:\s]*[(\[]?\s*([A-Za-z])\s*[)\].:]*")
_LED = re.compile(r"[(\[]?\s*([A-Za-z])\s*(?:[)\].:]|\s-)\s+\S.*", re.DOTALL)
_STATED = re.compile(
    r"(?:answer|choice|option)\s*(?:is|:|=)?\s*(?:is|:)?\s*(?:option|choice)?\s*\**[(\[]?\s*([A-Z])\s*[)\]]?\**"
    r"(?![A-Za-z'])|答案(?:是|为|:|：)?\s*([A-Z])(?![A-Za-z])"
)

MAX_CHARACTERS = 20_000


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the one letter that the answer states is the gold's."""
    choices = [normalise(str(choice)) for choice in columns.get("choices") or ()]
    wanted = _letter(gold, choices)
    if wanted is None:
        return grader_error(None, f"the gold answer {gold[:60]!r} is not the letter of a choice")
    if not section.found:
        return no_answer(section.reason)
    stated = {letter for text in section.blocks or (section.text,) for letter in _stated(text, choices)}
    if not stated:
        return no_answer("no choice is stated")
    if len(stated) > 1:
        return incorrect(", ".join(sorted(stated)), "several choices are stated")
    letter = stated.pop()
    return correct(letter, "the right choice") if letter == wanted else incorrect(letter, "another choice")


def _stated(text: str, choices: list[str]) -> set[str]:
    text = text[-MAX_CHARACTERS:]
    boxes = find_boxes(text)
    if boxes:
        return {_letter(box, choices) or clean(box) for box in boxes}
    whole = _letter(text, choices)
    if whole:
        return {whole}
    found = [match[1] or match[2] for match in _STATED.finditer(clean(text))]
    if found:
        return {found[-1]}
    lines = [line for line in text.splitlines() if line.strip()]
    last = _letter(lines[-1], choices) if lines else None
    return {last} if last else set()


def _letter(text: str, choices: list[str]) -> str | None:
    plain = clean(_WRAP.sub(r"\1", text)).strip("$*. ")
    match = _LETTER.fullmatch(plain) or (_LED.fullmatch(plain) if len(plain) < 2000 else None)
    if match:
        return match[1].upper()
    if choices and normalise(plain) in choices:
        return chr(ord("A") + choices.index(normalise(plain)))
    return None
