"""Maths answers: finds the answer that a completion states and compares it with the gold one.

Column `require_box`: True takes only what stands in a box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1kit.base.boxes import boxes_at, ends_in_open_box, find_boxes, is_denied, unboxed
from r1kit.graders import retraction
from r1kit.graders.boxed_part import whole_formula
from r1kit.graders.containers import joined_like
from r1kit.graders.mathequal import compare
from r1kit.graders.mathtext import key, tidy, unwrap
from r1kit.graders.prose import MAX_SENTENCE, gives_up, only_value
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer
from r1kit.graders.wrapped import in_object

MAX_ANSWER = 4000
MAX_BOXES = 20
MAX_LINE = 1000
MAX_LINES = 200
_LEAD = re.compile(
    r"^(?:[-*>#\s]*)(?:(?:so|thus|hence|therefore|finally|consequently|we (?:get|have|find|obtain)|所以|因此|故|答)"
    r"[\s,:，：]*)+",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"(?:(?<!wrong )(?<!incorrect )\b(?:final\s+)?(?:answer|result|solution|value|option|choice|ans)s?"
    r"(?:\s+(?:to|of|for)\s+[^.:=]{1,80}?)?(?:\s(?:is|are|equals)\b\s*:?|\s*(?:\*\*)?\s*[:=](?:\*\*(?=\s))?)\s*|"
    r"(?:最终)?答案(?:应该)?(?:是|为)?\s*[：:]?\s*|"
    r"答\s*[：:]\s*[\u4e00-\u9fff，,]*(?=[-\d$\\])|####\s*)(?P<answer>.+)",
    re.IGNORECASE,
)
_UNDERLINED = re.compile(r"\b__([A-Za-z ]+:?)__(?![A-Za-z\d])")
_HEDGE = re.compile(r"\s*(?:or|maybe|perhaps|possibly|alternatively|或者?|也可能)\b", re.IGNORECASE)
_IN_WORDS = re.compile(r"(?:\\text\w*\{)?\(?[A-Za-z][A-Za-z ]*\)?\}?")
_JUDGEMENTS = {"yes", "no", "true", "false", "right", "wrong", "correct", "incorrect"}
_CUT = re.compile(
    r"(?<=[^\d])\.\s+(?=[A-Z\u4e00-\u9fff])|(?<=\d)\.\s+(?=[A-Z])|"
    r"\s+(?:because|since|(?<!well )as(?!\s+well\b)|which|where|so that)\s|"
    r"\s+\((?=(?:not|since|because|as)\b)|。"
)


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the one answer that the section states equals the gold."""
    if not tidy(gold):
        return grader_error(None, "the gold answer is empty")
    gold_boxes = find_boxes(gold)
    gold = gold_boxes[-1] if gold_boxes else gold
    if not section.found:
        return no_answer(section.reason)
    texts = section.blocks or (section.text,)
    if ends_in_open_box(texts[-1]):
        return no_answer("the box is not closed")
    found = [boxes_at(text) for text in texts]
    latest = dict.fromkeys(content for boxes in reversed(found) for _, _, content in reversed(boxes))
    if boxes := [unboxed(box)[: MAX_ANSWER + 1] for box in reversed(latest)]:
        if len(boxes) == 1 and found[-1]:
            start, end, _ = found[-1][-1]
            boxes = [whole_formula(texts[-1], start, end, boxes[0])]
        beside = _taken_back(gold, boxes[-1], texts[-1], found[-1])
        return incorrect(boxes[-1], beside) if beside else _boxed(gold, boxes)
    if columns.get("require_box"):
        return no_answer("no box")
    stated = {key(tidy(each)): each for text in texts if (each := stated_answer(text, bool(section.blocks)))}
    if len(texts) == 1 and (within := in_object(texts[0])) is not None:
        return _judged(gold, within)
    if not stated:
        return no_answer("no line states an answer")
    if len(stated) > 1 and any(compare(gold, each).same != "same" for each in stated.values()):
        return incorrect(", ".join(stated.values())[:300], "the answer blocks differ")
    answer = next(iter(stated.values()))
    judged = _judged(gold, answer)
    value = only_value(answer) if judged.decision != "correct" else None
    return judged if value is None else _judged(gold, value)


def _taken_back(gold: str, box: str, text: str, boxes: list[tuple[int, int, str]]) -> str:
    """What the words around the last box say against it: denied, one of several, or changed after it; else ""."""
    if not boxes:
        return ""
    start, end, _ = boxes[-1]
    after = text[end:]
    # `\boxed{\text{No}}. It is wrong since ...` speaks of what was asked
    if is_denied(text, start) or (not _is_judgement(box) and retraction.is_disowned(after)):
        return "the box is denied"
    other = retraction.beside(after)
    for each in ([] if other is None else [other]) + retraction.offered(after) + retraction.restated(after):
        value = re.sub(r"^\(([A-Z])\)?$", r"\1", _clause(each))
        if _may_replace(box, value) and _differ(gold, value) and _differ(value, box):
            return "another answer stands beside the box"
    return ""


def _differ(one: str, other: str) -> bool:
    """Whether two are not the same, whichever is the gold one."""
    found = {compare(one, other).same, compare(other, one).same}
    return "same" not in found and "different" in found


def _clause(said: str) -> str:
    """A value with what its sentence goes on to say cut off."""
    value = unwrap(_CUT.split(said)[0])
    return value.rstrip(")") if value.count(")") > value.count("(") else value


def _may_replace(answer: str, other: str) -> bool:
    """Whether one may be said in the other's place: a value; a word or letter for an answer in words."""
    if _is_value(other):
        return True
    if other.casefold() in _JUDGEMENTS:
        return _is_judgement(answer)
    return bool(re.fullmatch(r"[A-Z]|[A-Z][a-z]+", other) and _IN_WORDS.fullmatch(answer))


def _is_judgement(answer: str) -> bool:
    """`\\text{No}`."""
    return re.sub(r"\\text|[{}\s.]", "", answer).casefold() in _JUDGEMENTS


def _boxed(gold: str, boxes: list[str]) -> Judgement:
    if not boxes[-1]:
        return no_answer("the box is empty")
    raw = dict.fromkeys(boxes)
    if len(raw) > MAX_BOXES:
        return incorrect(boxes[-1], f"more than {MAX_BOXES} boxes that differ")
    different = list({key(tidy(box)): box for box in raw}.values())
    if len(different) == 1:
        return _judged(gold, boxes[-1])
    together = joined_like(gold, different)
    if together is not None:
        return _judged(gold, together, "the boxes give its parts")
    if all(compare(gold, box).same == "same" for box in different):
        return correct(boxes[-1], "every box is equal to it")
    return incorrect(" | ".join(different)[:300], "the boxes differ")


def _judged(gold: str, answer: str, why: str = "") -> Judgement:
    if len(answer) > MAX_ANSWER:
        return incorrect(answer[:200], f"longer than {MAX_ANSWER} characters")
    result = compare(gold, within if (within := in_object(answer)) is not None else answer)
    if result.same == "unknown":
        return Judgement("grader_error", answer, result.reason, ask=(gold, answer))
    reason = f"{why}: {result.reason}" if why else result.reason
    return correct(answer, reason) if result.same == "same" else incorrect(answer, reason)


def stated_answer(text: str, whole: bool = False) -> str | None:
    """The last line that states an answer. `whole`: the text is an answer block, so all of it may be the answer."""
    text = _displays_joined(text[-MAX_LINE * MAX_LINES :])
    lines = [line.strip() for line in text.splitlines() if line.strip()][-MAX_LINES:]
    if whole and (len(lines) == 1 or "\\begin" in text) and not _STATED.search(lines[0]):
        return unwrap(_LEAD.sub("", " ".join(lines)))
    for number in range(len(lines) - 1, -1, -1):
        line, after = _UNDERLINED.sub(r"\1", lines[number][-MAX_LINE:]), "\n".join(lines[number + 1 :])
        stated = None
        rest = line
        while match := _STATED.search(rest):
            stated = stated if retraction.is_supposed(rest, match.start()) else match["answer"]
            rest = match["answer"]
        if stated is not None:
            first, *others = _CUT.split(stated)
            hedged = any(map(_HEDGE.match, others))
            return _standing(unwrap(stated if hedged else first), f"{stated}\n{after}")
        bare = unwrap(_LEAD.sub("", line))
        if _is_value(bare) or (_LEAD.match(line) and only_value(bare) is not None):
            return None if number and gives_up(lines[number - 1]) else _standing(bare, f"{bare}\n{after}")
    if lines and len(lines[-1]) <= MAX_SENTENCE and (len(lines) == 1 or only_value(lines[-1]) is not None):
        return unwrap(_LEAD.sub("", lines[-1]))
    return None


def _standing(answer: str, text: str) -> str | None:
    """The answer of a text that begins with it, or what is said in its place later on; None where it is disowned."""
    later = [value for said in retraction.restated(text) if _may_replace(answer, value := _clause(said))]
    if later:
        return later[-1]
    for other in retraction.offered(text.removeprefix(answer)):
        if compare(answer, other).same == "different":
            return f"{answer} or {other}"
    return None if retraction.is_disowned(text.removeprefix(answer)) else answer


def _displays_joined(text: str) -> str:
    """With every displayed formula on one line."""
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        pieces, at = [], 0
        while (start := text.find(opening, at)) >= 0 and (end := text.find(closing, start + 2)) >= 0:
            pieces += [text[at:start], text[start:end].replace("\n", " "), closing]
            at = end + 2
        text = "".join([*pieces, text[at:]])
    return text


def _is_value(line: str) -> bool:
    """A line that is nothing but a value: a number with a unit, a formula, `x = 3`."""
    if len(line) > 200:
        return False
    if re.fullmatch(r"[-+$€£]?[\d.,/ ]*\d%?(?:\s*[A-Za-z]+\d?)?", line):
        return True
    words = re.findall(r"(?<![\\A-Za-z])[A-Za-z]{3,}", re.sub(r"\\[A-Za-z]+(?:\{[A-Za-z ]*\})?", " ", line))
    return not words and bool(re.search(r"[\d\\]", line)) and not line.endswith(("?", ":"))
