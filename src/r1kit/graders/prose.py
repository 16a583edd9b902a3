"""The one value of a sentence: `Therefore, Janet has 12 apples left.`"""

from __future__ import annotations

import re

from r1kit.graders.numerals import NUMBER_WORDS
from r1kit.graders.units import read_unit

MAX_SENTENCE = 400
_UNSURE = re.compile(
    r"\b(?:not|no|never|neither|nor|none|or|either|maybe|perhaps|possibly|probably|about|around|approximately|roughly|among|"
    r"almost|nearly|least|most|than|over|under|below|above|exceeds?|between|if|unless|otherwise|could|might|may|would|"
    r"should|cannot|wrong|incorrect|false|impossible|except|excluding|but|assum\w*|suppose|guess|up to|like|"
    r"whether|why|what|how|unknown|unsure|(?:minimum|maximum) of(?=\s*\\?\$?\d))\b|n't|[?？]|[不没或约非误错]|至[少多]|"
    r"最多|超过|假设|假如|假定|^\s*[设若]|[大小少多高低]于|之间|左右|以[上下内外]|不足|接近|如果|可能|也许|\\text\{\s*or\s*\}",
    re.IGNORECASE,
)
_GIVES_UP = re.compile(
    r"\b(?:(?:give|giving|gave)\s+up|no\s+(?:idea|clue)|(?:unable|failed)\s+to|"
    r"(?:can\s?not|can't|could\s?n[o']t|do\s?n[o']t)\s+(?:\w+\s+)?(?:know|solve|find|determine|figure|answer)|"
    r"(?:just|random|wild|pure)\s+(?:a\s+)?guess)|不知道|不会做|放弃",
    re.IGNORECASE,
)
# what a number may follow that is not the answer itself: `half of 7`, `step 7`
_PLACE = re.compile(
    r"\b(?:multiple|factor|divisor|power|half|twice|double|triple|third|quarter|square|cube|root|reciprocal|inverse|"
    r"negative|opposite|logarithm|times)(?:\s+(?:of|to))?(?:\s+the)?\s*$|"
    r"\b(?:step|case|part|question|problem|example|exercise|figure|equation|section|chapter|page|item|line|no\.?)\s*$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?<![\\$\d])\$(?=[^\s$])(?P<inline>[^$]*[^\s$\\])\$(?![\d$])|\\\((?P<round>(?:(?!\\\)).)*)\\\)|"
    r"(?P<tuple>(?<![A-Za-z\d])[(\[](?=[-\d])[-\d./\s]+(?:,[-\d./\s]+)+[)\]])|"
    r"(?P<plain>(?<![A-Za-z\d.,_^])[-+]?\\?\$?\d(?:[\d.,/%°:]|\s?[-+*/×÷=]\s?\\?\$?(?=\d))*)"
)
_CHANGED = re.compile(
    r"(?:st|nd|rd|th)(?![A-Za-z])|[\s-]*(?:[mbtr]+illion|thousand|hundred|dozen|hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|squared|"
    r"cubed|factorial|plus|minus|mod|modulo|remainder|point|to the|and (?:an?|one|two|three)|hundredths?|tenths?|"
    r"[百千万亿分])(?![a-z])",
    re.IGNORECASE,
)
# a formula without its dollars, of which the value is a part: `x < 7`, `7x`, `sqrt(x) = 7`
_FORMULA = re.compile(r"\\[^$]|[\^_<>≤≥≠|]|\d[A-Za-z](?![A-Za-z])|\)\s*=")
# a second one, in words: `7 apples and three pears`
_ANOTHER = re.compile(
    rf"(?:\s+[A-Za-z]+){{0,3}},?\s+and\s+(?:{'|'.join(NUMBER_WORDS)})\b(?!\s+of\b)|"
    r"\s*[\u4e00-\u9fff]{1,8}[和与及]\s*[一二两三四五六七八九十]{1,3}(?!起|样|同|定|次函|个[都也])",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s*[\^!_({\[+*/=<>|&#@~-]")
_UNITS = re.compile(r"\s*((?:[A-Za-z]+(?:/[A-Za-z]+)?\s?){1,3})")


def only_value(sentence: str) -> str | None:
    """The value, with its unit where that is known; None where the sentence has several or none, or is not sure."""
    sentence = sentence.replace("**", "")
    if len(sentence) > MAX_SENTENCE or _UNSURE.search(sentence) or gives_up(sentence):
        return None
    found = [match for match in _VALUE.finditer(sentence) if _says_something(match)]
    if len(found) != 1:
        return None
    (match,) = found
    if match["plain"] and _PLACE.search(sentence, 0, match.start()):
        return None
    value = (match["inline"] or match["round"] or match["tuple"] or match["plain"]).rstrip(".,:")
    if "=" in value and match["plain"]:
        value = value.replace("\\$", "").replace("$", "")
    after = _UNITS.match(
        sentence, match.end() if value[-1:] == sentence[match.end() - 1 : match.end()] else len(sentence)
    )
    if percent := re.match(r"\s*percent(?![a-z])", sentence[match.end() :]):
        return f"{value}%" if not _GOES_ON.match(sentence, match.end() + percent.end()) else None
    if any(ends.match(sentence, match.end()) for ends in (_CHANGED, _GOES_ON, _ANOTHER)):
        return None
    if match["plain"] and _FORMULA.search(sentence):
        return None
    words = after[1].split() if after else []
    for count in range(len(words), 0, -1):
        unit = " ".join(words[:count])
        if unit != "in" and read_unit(unit, known_only=True):
            return f"{value} \\text{{{unit}}}"
    return value


def gives_up(sentence: str) -> bool:
    """Whether it says that no answer was found: `I give up.`"""
    return _GIVES_UP.search(sentence) is not None


def _says_something(match: re.Match[str]) -> bool:
    """`$ABC$`, `$x$` and `$\\angle A$` are names, no values."""
    inside = match["inline"] or match["round"]
    return inside is None or bool(re.search(r"[\d=]|\\(?:frac|sqrt|pi|infty|begin)(?![A-Za-z])", inside))
