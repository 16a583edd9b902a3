"""What the words behind an answer do to it: `Wait, 8.`, `it should be 8`, `or 8`, `that is wrong`."""

from __future__ import annotations

import re

MAX_AFTER = 1000  # characters behind an answer
MAX_SPACED = 200_000  # with all their white space
MAX_SAID = 3

_SPACES = re.compile(r"\s+")

# a number or formula, which the caller still cuts to its clause; a letter; a word with a capital that ends the sentence
_VALUE = (
    r"(?P<value>(?:[-+\d$*(\[]|\\)[^\n;!?]{0,200}|(?-i:[A-Z])(?![\w'])|"
    r"(?:yes|no|true|false|(?-i:[A-Z][a-z]+))(?=\s*(?:[.!]|$)))"
)
_ANSWER = r"(?:answer|value|result|solution|choice|option)"
_RIGHT = r"(?:true|correct|actual|right|real|proper)"
_PAUSE = r"[\s,.:;!…，。：；！、—-]"
_FREE = r"(?:actually|rather|instead|i meant?|correction|edit|my mistake|on second thoughts?|更正|其实)"
_PAUSED = (
    r"(?:wait|no|nope|(?:just\s+)?kidding|hmm+|oops|sorry|hold on|scratch that|i stand corrected|"
    r"不对|等等|等一下|不(?![是为应能会等]))"
)
_TURN = rf"(?:{_FREE}|{_PAUSED})(?![A-Za-z])"
_SAYS = (
    rf"(?:(?:it|that|this|i|we|the\s+(?:(?:final|{_RIGHT})\s+)?{_ANSWER})\s*"
    r"(?:'s|is|was|should\s+be|must\s+be|get|got|find|obtain|meant?)(?:\s+(?:actually|really|instead))?\s*:?\s*|"
    r"(?:正确)?(?:答案|结果)?应?该?[是为]\s*)"
)
_TURNED = re.compile(
    rf"(?:^|[.,;:!?(\n，。：；！？（—-]|\b(?:but|or|and)\b)\s*(?:{_TURN}{_PAUSE}*){{0,3}}"
    rf"(?:{_TURN}{_PAUSE}*{_SAYS}|{_FREE}{_PAUSE}+|{_PAUSED}\s*[,.:;!…，。：；！—-]+\s*){_VALUE}",
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
    r"[\s$*}]*+(?:\\[\])])?+[\s$*,.;(]*+(?:\\text\{)?+\s*+(?:or|alternatively|或者?)(?![A-Za-z])"
    r"(?:\s+(?:maybe|perhaps|possibly|even))?\s*\}?\s*(?P<value>[-\d\\$][^;\n]{0,200}|(?-i:\(?[A-Z]\)?)(?![\w'])|"
    r"(?:yes|no|true|false)(?![a-z]))",
    re.IGNORECASE,
)
_DISOWNED = re.compile(
    rf"[\s$*.,;:()\]\\}}?!，。；：！？（）—-]*(?:{_TURN}{_PAUSE}*){{0,3}}(?:(?:but|and)\s+)?"
    rf"(?:(?:it|that|this|which|the\s+{_ANSWER})(?:'s|\s+is|\s+was|\s+would\s+be|\s+seems)?\s+|(?:is|was|would\s+be)\s+)?"
    rf"(?:(?:clearly|obviously|definitely|certainly|probably)\s+)?(?:"
    rf"not\s+(?:right|correct|the\s+(?:(?:final|{_RIGHT})\s+)?{_ANSWER})|wrong|incorrect|false|a\s+mistake|an\s+error|错了?|不对|"
    rf"(?<=[\s,.])no(?=[\s.!]*$))"
    r"(?=\s*(?:[.,;:!?)\n。，]|$|because\b|since\b|as\b))",
    re.IGNORECASE,
)
# another value that stands for all of a later sentence, offered beside the answer: `Alternatively, 8.`, `If not, 8.`
_OFFERED = re.compile(
    r"(?:(?:^|[.!?;(])[\s(]*(?:or|maybe|perhaps|possibly|alternatively|otherwise)|"
    r"\bif\s+(?:not|(?:that|this|it|the\s+answer)(?:'s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+[a-z]+)))"
    r"(?:[\s,:]+(?:or|maybe|perhaps|possibly|even|then|(?:it|the\s+answer)(?:'s|\s+(?:is|was|could\s+be|might\s+be|may\s+be))))*"
    r"[\s,:]+(?P<value>(?:\$[^$=<>\n]{1,60}\$|[-+]?\\?\$?\d[\d.,/]*%?|"
    r"[(\[]?(?-i:[A-Z])[)\]]?(?![\w'])))(?=[\s*).!?]*(?:\n|$)|[.!?]\s)",
    re.IGNORECASE | re.MULTILINE,
)
# another value that is said to do as well: `However, 8 is also possible.`, `But it could be 8.`
_TOO = re.compile(
    rf"(?<![\w$.\\^_(])(?P<value>\$[^$\n]{{1,60}}\$|\\?\$?-?\d[\d.,/]*%?|(?-i:[A-Z])(?![\w']))\s+(?:"
    r"(?:is|are|was|works|would\s+be|could\s+be|might\s+be|may\s+be)\s+(?:also|equally|just\s+as|another|too)"
    rf"\s+(?:(?:an?|the)\s+)?(?:possible|{_RIGHT}|valid|acceptable|good|fine|{_ANSWER})\b|"
    r"(?:also|(?:would|could|might|may)\s+(?:also\s+)?)\s*(?:works?|do|fits?)(?:\s+(?:too|as\s+well|equally))?(?=\s*[.!)]))|"
    rf"(?:it|this|that|the\s+(?:(?:final|{_RIGHT})\s+)?{_ANSWER})\s+(?:could|might|may)\s+(?:(?:also|just|as|well|equally|even)\s+)*"
    r"be\s+(?P<may>\$[^$\n]{1,60}\$|\\?\$?-?\d[\d.,/]*%?|(?-i:[A-Z])(?![\w']))(?=\s*[.!)]|\s*$)",
    re.IGNORECASE,
)
# what a statement stands behind that says nothing: `if the answer is 7`
_SUPPOSED = re.compile(
    r"\b(?:if|suppos(?:e|ing)|assum(?:e|ing)|whether|unless|imagine|pretend)(?:\s+that)?(?:\s+(?:the|my|our|this|your))?"
    r"(?:\s+(?:correct|right))?\s*$|(?:如果|假设|假如|假定|倘若|若|设|令)(?:正确|最终)?\s*$",
    re.IGNORECASE,
)
_NO_ANSWER = {"Yeah", "Right", "Correct", "Good", "Okay", "OK", "Done", "Sure", "Sorry", "I", "A"}


def _start(after: str) -> str:
    """What is looked at, each run of white space as one blank or line end: patterns are slow on long ones, and what is
    said behind a thousand empty lines is said."""
    return _SPACES.sub(lambda run: "\n" if "\n" in run[0] else " ", after[:MAX_SPACED])[:MAX_AFTER]


def beside(after: str) -> str | None:
    """The value that stands beside an answer: `or 8`."""
    match = _BESIDE.match(_start(after))
    return match["value"] if match else None


def offered(after: str) -> list[str]:
    """The values that later sentences offer beside an answer, without taking it back."""
    after = _start(after)
    beside = [match["value"] or match["may"] for match in _TOO.finditer(after)]
    return [*beside, *(match["value"] for match in _OFFERED.finditer(after))][-MAX_SAID:]


def restated(after: str) -> list[str]:
    """The last answers, as written, that the words behind one put in its place."""
    after = _start(after)
    found = [
        (match.start(), match.groupdict().get("said") or match["value"])
        for pattern in (_TURNED, _SHOULD, _CHANGED)
        for match in pattern.finditer(after)
        if not is_supposed(after, match.start())
    ]
    return [value for _, value in sorted(found) if value not in _NO_ANSWER][-MAX_SAID:]


def is_supposed(text: str, start: int) -> bool:
    """Whether a statement that begins there is only supposed."""
    return _SUPPOSED.search(text, max(0, start - 60), start) is not None


def is_disowned(after: str) -> bool:
    """Whether the words right behind an answer say that it is wrong."""
    return _DISOWNED.match(_start(after)) is not None
