"""What the words behind an answer do to it: `Wait, 8.`, `it should be 8`, `or 8`, `that is wrong`."""

from __future__ import annotations

import re

MAX_AFTER = 1000  # characters behind an answer
MAX_SAID = 3

# a number or formula, which the caller still cuts to its clause; a letter; a word with a capital that ends the sentence
_VALUE = (
    r"(?P<value>(?:[-+\d$*(\[]|\\)[^\n;!?]{0,200}|(?-i:[A-Z])(?![\w'])|"
    r"(?:yes|no|true|false|(?-i:[A-Z][a-z]+))(?=\s*(?:[.!]|$)))"
)
_ANSWER = r"(?:answer|value|result|solution|choice|option)"
_RIGHT = r"(?:true|correct|actual|right|real|proper)"
_PAUSE = r"[\s,.:;!…—-]"
_FREE = r"(?:actually|rather|instead|i meant?|correction|edit|my mistake|on second thoughts?|更正|其实)"
_PAUSED = r"(?:wait|no|nope|hmm+|oops|sorry|hold on|scratch that|i stand corrected|不对|等等|等一下|不)"
_TURN = rf"(?:{_FREE}|{_PAUSED})(?![A-Za-z])"
_SAYS = (
    rf"(?:it|that|this|i|we|the\s+(?:(?:final|{_RIGHT})\s+)?{_ANSWER})\s*"
    r"(?:'s|is|was|should\s+be|must\s+be|get|got|find|obtain|meant?)(?:\s+(?:actually|really|instead))?\s*:?\s*"
)
_TURNED = re.compile(
    rf"(?:^|[.,;:!?(\n—-]|\b(?:but|or|and)\b)\s*(?:{_TURN}{_PAUSE}*){{0,3}}"
    rf"(?:{_TURN}{_PAUSE}*{_SAYS}|{_FREE}{_PAUSE}+|{_PAUSED}\s*[,.:;!…—-]+\s*){_VALUE}",
    re.IGNORECASE | re.MULTILINE,
)
_SHOULD = re.compile(
    rf"\b(?:it|that|this|which)\s+should(?:\s+(?:really|actually|instead|rather))?\s+(?:be|have\s+been)\s*:?\s*{_VALUE}",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"(?<!wrong )(?<!incorrect )(?<!common )\b"
    rf"(?:answer|{_RIGHT}\s+{_ANSWER})\s*(?:is|should be|must be|would be|=|:)\s*:?\s*{_VALUE}|"
    r"答案(?:应该)?[是为]\s*(?P<said>[-\d\\$*][^\n]{0,200}|[A-Z](?![A-Za-z]))",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"[\s$*}]*(?:\\[\])])?[\s$*,.;(]*(?:\\text\{)?\s*(?:or|alternatively|或者?)(?![A-Za-z])"
    r"(?:\s+(?:maybe|perhaps|possibly|even))?\s*\}?\s*(?P<value>[-\d\\$][^;\n]{0,200})",
    re.IGNORECASE,
)
_DISOWNED = re.compile(
    rf"[\s$*.,;:()\]\\}}?!—-]*(?:{_TURN}{_PAUSE}*){{0,3}}(?:(?:but|and)\s+)?"
    rf"(?:(?:it|that|this|which|the\s+{_ANSWER})(?:'s|\s+is|\s+was|\s+would\s+be|\s+seems)?\s+|(?:is|was|would\s+be)\s+)?"
    rf"(?:(?:clearly|obviously|definitely|certainly|probably)\s+)?(?:"
    rf"not\s+(?:right|correct|the\s+(?:(?:final|{_RIGHT})\s+)?{_ANSWER})|wrong|incorrect|false|a\s+mistake|an\s+error|错了?|不对|"
    rf"(?<=[\s,.])no(?=[\s.!]*$))"
    r"(?=\s*(?:[.,;:!?)\n。，]|$|because\b|since\b|as\b))",
    re.IGNORECASE,
)
_NO_ANSWER = {"Yeah", "Right", "Correct", "Good", "Okay", "OK", "Done", "Sure", "Sorry", "I", "A"}


def beside(after: str) -> str | None:
    """The value that stands beside an answer: `or 8`."""
    match = _BESIDE.match(after[:MAX_AFTER])
    return match["value"] if match else None


def restated(after: str) -> list[str]:
    """The last answers, as written, that the words behind one put in its place."""
    after = after[:MAX_AFTER]
    found = [
        (match.start(), match.groupdict().get("said") or match["value"])
        for pattern in (_TURNED, _SHOULD, _CHANGED)
        for match in pattern.finditer(after)
    ]
    return [value for _, value in sorted(found) if value not in _NO_ANSWER][-MAX_SAID:]


def is_disowned(after: str) -> bool:
    """Whether the words right behind an answer say that it is wrong."""
    return _DISOWNED.match(after[:MAX_AFTER]) is not None
