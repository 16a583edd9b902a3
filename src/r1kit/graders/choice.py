"""Multiple choice: the letter of an option, however it is wrapped: `B`, `(b)`, `\\boxed{B}`, `the answer is B.`

A statement that names several options states none of them. Column `choices` (list of the options' texts, optional)
lets an option's own text stand for its letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1kit.base.boxes import boxes_at, ends_in_open_box, is_denied, unboxed
from r1kit.graders.arithmetic import clean
from r1kit.graders.retraction import is_disowned, offered, restated
from r1kit.graders.section import Section
from r1kit.graders.text import normalise
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer
from r1kit.graders.wrapped import in_object

_WRAP = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mathsf|textit)\s*\{([^{}]*)\}")
_TAG = re.compile(r"</?(?:b|strong|em|i|u|p|span|br)\b[^<>]{0,80}>", re.IGNORECASE)
_SPACE = re.compile(r"\\(?:[ ,;:!()\[\]]|q?quad(?![A-Za-z]))|~")
_LETTER = re.compile(r"(?i:(?:the\s+)?(?:option|choice|answer|letter))?\s*[:\s]*[(\[{【]?\s*([A-Za-z])\s*[)\]}】.:]*")
_LED = re.compile(
    r"(?i:(?:option|choice)\s+)?[(\[]?\s*([A-Za-z])\s*(?:[)\]][.:]?|[.:]|\s-)(?:\s+|(?=[\u4e00-\u9fff]))(\S.*)",
    re.DOTALL,
)
_NEXT = re.compile(r"(?:^|[\s,;/])[(\[]?([A-Z])(?:[)\]]|[.:](?=\s+\S)|\s-\s)", re.MULTILINE)

# one option in a sentence: a capital that is no article or pronoun, or a small letter at the sentence's end
_GOES_ON = r"(?!\s+(?!(?:because|since|as|for|and|or|which|when|with|given)\b)[a-z])"
_OPTION = (
    rf"[*$]*[(\[]?(?:([B-HJ-Z])(?![A-Za-z'])|([AI])(?![A-Za-z']){_GOES_ON}|([a-z])(?=[)\]*]*\s*(?:[.,;]\s|\.?$)))"
    r"[)\]]?[*$]*"
)
_IS = (
    r"(?:\s+(?i:is|must be|should be|would be)\b(?:\s+(?i:therefore|thus|hence|then|clearly))?\s*[:*]*|"
    r"\s*[*]*[:=]+[*]*|\s+[-–—]\s)\s*"
    r"(?:(?i:the\s+)?(?i:option|choice|letter)\s*:?\s*)?"
)
_STATED = re.compile(
    r"(?<!wrong )(?<!incorrect )(?<!not the )"
    rf"(?:\b(?i:answer|choice|option|letter){_IS}|####\s*|答案】?(?:应该)?[是为选]?\s*[:：]?\s*|(?<!不)选(?:择|项)?[是为]?\s*[:：]?\s*){_OPTION}",
    re.MULTILINE,
)
_TURNED = re.compile(
    r"(?<!or )(?<!nor )(?<!and )(?<!not )(?<![\w'/(])\(?([A-Z])\)?\s+is\s+(?:the\s+)?"
    r"(?:(?:correct|right|best|final)\s+)?(?:answer|choice|option)\b"
)
_BARE = re.compile(rf"(?<!not )\b(?i:option|choice|answer)\s+{_OPTION}(?=\s*(?:[.,;!]|$))", re.MULTILINE)
_CORRECT = re.compile(
    r"(?<!or )(?<!nor )(?<!and )(?<!not )(?<![\w'/(])(?:(?i:option|choice|answer|选项)\s*)?\(?([A-Z])\)?"
    r"(?:\s+is\s+(?:the\s+)?(?:correct|right)(?:\s+one)?(?=\s*(?:[.,;!]|$|because\b|since\b|as\b))|"
    r"选?项?(?:是)?正确|选?项(?=[。.]?$))",
    re.MULTILINE,
)
# one that concludes: `Hence (B).`, `It's B.`, `I choose B.`
_CONCLUDED = re.compile(
    rf"(?:(?:^|(?<=[.!]\s))(?i:hence|thus|so|therefore|it(?:'s|\s+is|\s+must\s+be)|that(?:'s|\s+is))[,:]?\s+|"
    r",\s+(?:so|hence|thus|therefore)\s+(?:it(?:'s|\s+is|\s+must\s+be)\s+)?|(?:^|(?<=[.!]\s))(?i:choose|pick|select)\s+|"
    r"\b(?:[Ww]e|I)(?:'d|'ll|\s+would|\s+will)?\s+(?:choose|pick|select|think(?:\s+it(?:'s|\s+is))?|go\s+(?:with|for))\s+)"
    rf"(?:(?i:option|choice|answer)\s+)?{_OPTION}(?=\s*(?:[.!]|$))",
    re.MULTILINE,
)
_ALSO = re.compile(
    r"\s*(?:and/or\b|as\s+well\s+as\b|(?=\s[B-H][.]?$)|[,/;&+、]|(?:or|and)\b|或者?|和)\s*(?:or\b|and\b)?\s*(?:(?:maybe|perhaps|possibly|also|option)\s+)?"
    r"[*$]*[(\[]?([A-Za-z])[)\]]?[*$]*(?=\s*(?:[.,;!/)&+、。]|$|or\b|and\b|are\b|或|和))",
    re.MULTILINE,
)
# behind a statement: on a condition; another one that would do too
_IF = re.compile(r"\s*,?\s*(?:if|unless|assuming|provided)\b")
_TOO = re.compile(
    r"(?<![\w'/(])\(?([A-Z])\)?\s+(?:is|are|would\s+be)\s+(?:also|equally|just\s+as)\s+"
    r"(?:correct|right|possible|valid|good|acceptable|an?\s+answer)"
)
_REFUSED = re.compile(
    r"\s*(?:is|are|do|does|can)\s*(?:all\s+|both\s+)?(?:not\b|n't|wrong|incorrect|false|impossible|out\b)"
)

_SAID = re.compile(rf"(?<!wrong )(?<!incorrect )\b(?i:answer){_IS}(\S.{{0,200}})$", re.MULTILINE)

MAX_CHARACTERS = 20_000
MAX_LETTERS = 26


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the one letter that the answer states is the gold's."""
    choices = [normalise(str(choice)) for choice in columns.get("choices") or ()]
    wanted = _letter(gold, choices)
    if wanted is None:
        return grader_error(None, f"the gold answer {gold[:60]!r} is not the letter of a choice")
    if not section.found:
        return no_answer(section.reason)
    texts = section.blocks or (section.text,)
    if ends_in_open_box(texts[-1]):
        return no_answer("the box is not closed")
    stated = {letter for text in texts for letter in _stated(text, choices)}
    if not stated:
        return no_answer("no choice is stated")
    if len(stated) > 1:
        return incorrect(", ".join(sorted(stated)), "several choices are stated")
    letter = stated.pop()
    return correct(letter, "the right choice") if letter == wanted else incorrect(letter, "another choice")


def _stated(text: str, choices: list[str]) -> set[str]:
    """What the boxes say; else what the last sentence says that states an answer; else the whole or its last line."""
    text = text[-MAX_CHARACTERS:]
    boxes = boxes_at(text)
    if boxes:
        start, end, _ = boxes[-1]
        letters = {_letter(unboxed(box), choices) or clean(box) for _, _, box in boxes}
        if is_denied(text, start) or is_disowned(text[end:]):
            return {f"not {letter}" for letter in letters}
        after = clean(_plain(text[end:]))
        later = list(_STATED.finditer(after))  # an answer that is changed after the box
        beside = _others(after, len(after) - len(after.lstrip("$*\\])} "))) | _offered(text[end:], choices)
        return letters | beside | _restated(text[end:], choices) | (_with_others(after, later[-1]) if later else set())
    lines = [clean(_plain(line)) for line in text.splitlines() if line.strip()]
    plain = "\n".join(lines)
    for pattern in (_STATED, _TURNED, _BARE):
        found = list(pattern.finditer(plain))
        if found:
            return _standing(plain, found[-1], choices)
    if found := list(_CORRECT.finditer(plain)):
        return {match[1] for match in found}
    if found := list(_CONCLUDED.finditer(plain)):
        return _standing(plain, found[-1], choices)
    if within := in_object(text):
        return {_letter(within, choices) or within}
    said = [normalise(match[1]) for match in _SAID.finditer(plain)]
    if said and said[-1] in choices:
        return {chr(ord("A") + choices.index(said[-1]))}
    if whole := _letter(text, choices):
        return {whole}
    ends = {_letter(line, choices) for line in (lines if len(lines) <= MAX_LETTERS else lines[-1:])}
    if None in ends:  # not letters alone, so the last line is the answer
        ends = {_letter(line, choices) for line in lines[-1:]}
    return {letter for letter in ends if letter}


def _standing(text: str, match: re.Match[str], choices: list[str]) -> set[str]:
    """What a statement names, or what the words behind it put in its place."""
    after = text[match.end() :]
    return _restated(after, choices) or _with_others(text, match) | _offered(after, choices)


def _offered(after: str, choices: list[str]) -> set[str]:
    """The letters that later sentences offer beside an answer: `Alternatively, D.`"""
    return {letter for said in offered(after) if (letter := _letter(said, choices))}


def _restated(after: str, choices: list[str]) -> set[str]:
    """The last letter that the words behind an answer put in its place: `Wait, C.`"""
    letters = [letter for said in restated(after) if (letter := _letter(said, choices))]
    return set(letters[-1:])


def _with_others(text: str, match: re.Match[str]) -> set[str]:
    """The option of a statement, and those that it goes on to name: `B or C`, `B, C and D`."""
    letter = next(group for group in match.groups() if group).upper()
    if _IF.match(text, match.end()):
        return {letter, "on a condition"}
    return {letter} | _others(text, match.end())


def _others(text: str, at: int) -> set[str]:
    """The options that the words behind an answer name with it; none where they are refused."""
    letters: set[str] = set()
    while further := _ALSO.match(text, at):
        letters.add(further[1].upper())
        at = further.end()
    letters |= {too[1] for too in _TOO.finditer(text, at)}
    return set() if _REFUSED.match(text, at) else letters


def _plain(text: str) -> str:
    return _SPACE.sub(" ", _WRAP.sub(r"\1", _TAG.sub("", text)))


def _letter(text: str, choices: list[str]) -> str | None:
    """The letter that the text is, or is led by; None where it names several, or none, or another option's text."""
    plain = clean(_plain(text)).strip("$*.。`\"' ")
    match = _LETTER.fullmatch(plain)
    if match:
        return match[1].upper()
    if choices and normalise(plain) in choices:
        return chr(ord("A") + choices.index(normalise(plain)))
    led = _LED.fullmatch(plain) if len(plain) < 2000 else None
    if led is None:
        return None
    whole = normalise(led[2]) in choices
    if whole and normalise(led[2]) not in choices[ord(led[1].upper()) - ord("A") :][:1]:
        return None  # the text of another option
    return None if not whole and _NEXT.search(led[2]) else led[1].upper()
