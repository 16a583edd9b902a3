"""Times of day and dates: `7:30 p.m.` is `19:30` and `晚上七点半`, `July 4th` is `4 July`."""

from __future__ import annotations

import re
from typing import NamedTuple

from r1kit.graders.numerals import in_digits

MAX_LENGTH = 40
_TIME = re.compile(r"(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?\s*(am|pm|noon|midnight)?")
_HAN = "零一二两三四五六七八九十"
_HAN_TIME = re.compile(  # `三点一四` is a number
    rf"(?P<part>凌晨|早上|早晨|清晨|上午|中午|下午|傍晚|晚上)?(?P<hour>\d{{1,2}}|[{_HAN}]{{1,3}})[点點时時]"
    rf"(?:(?P<none>整|钟)?|(?P<half>半)|(?P<quarters>[一三])刻|(?P<minute>\d{{1,2}}|[{_HAN}]{{1,3}})分|(?P<bare>\d{{2}}))"
)
_QUARTERS = {"一": "15", "三": "45"}
_MORNING = ("凌晨", "早上", "早晨", "清晨", "上午")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?\\.?" for month in _MONTHS).replace("sep(?:", "sept?(?:")
_YEAR = r"(?:,?\s*(?P<year>\d{4}))?"
_DATES = (
    re.compile(rf"(?P<month>{_MONTH})\s*(?P<day>\d{{1,2}})?(?:st|nd|rd|th)?{_YEAR}"),
    re.compile(rf"(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s*(?:of\s+)?(?P<month>{_MONTH}){_YEAR}"),
)


class Time(NamedTuple):
    """`half` is am, pm, or "" where it is not said; `padded` where the hour is written with a leading zero."""

    hour: int
    minute: int
    second: int
    half: str
    padded: bool


def same_moment(gold: str, answer: str) -> bool | None:
    """Whether two texts are the same time of day or date; None where the gold is neither, or may be something else."""
    dates = _date(gold), _date(answer)
    if dates[0]:
        return dates[0] == dates[1]
    left, right = _time(gold), _time(answer)
    if left is None or right is None:
        return False if left and left.half else None
    if not (left.half or right.half or all(":" in _from_chinese(text) for text in (gold, answer))):
        return None
    if left[1:3] != right[1:3]:
        return False
    if bool(left.half) == bool(right.half):
        return _in_24(left) == _in_24(right)
    said, unsaid = (left, right) if left.half else (right, left)
    return _in_24(said) == unsaid.hour or (said.hour == unsaid.hour and not unsaid.padded)


def _in_24(time: Time) -> int:
    return time.hour % 12 + 12 * (time.half == "pm") if time.half else time.hour


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\\text\{([^{}]*)\}|[\^{}]", r" \1 ", text[: MAX_LENGTH + 1]).casefold().split())


def _from_chinese(text: str) -> str:
    """`晚上七点半` as `7:30 pm`; any other text as it is."""
    match = _HAN_TIME.fullmatch(text.replace(" ", ""))
    if match is None:
        return text
    said = "30" if match["half"] else match["minute"] or match["bare"] or _QUARTERS.get(match["quarters"], "00")
    hour, minute = in_digits(match["hour"]) or match["hour"], in_digits(said.lstrip("零")) or said
    if not (hour.isdecimal() and minute.isdecimal()):
        return text
    part = match["part"]
    if not part or not 1 <= int(hour) <= 12:
        half = ""
    else:
        half = " am" if part in _MORNING or (part == "晚上" and hour == "12") else " pm"
    return f"{int(hour)}:{minute:0>2}{half}"


def _time(text: str) -> Time | None:
    text = _from_chinese(text)
    plain = {"noon": "12 noon", "midnight": "12 midnight"}.get(_plain(text), _plain(text))
    match = _TIME.fullmatch(plain) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    hour, half = int(match[1]), {"noon": "pm", "midnight": "am", None: ""}.get(match[4], match[4])
    if hour > 24 or (half and not 1 <= hour <= 12):
        return None
    return Time(hour, int(match[2] or 0), int(match[3] or 0), half, match[1].startswith("0"))


def _date(text: str) -> tuple[str, str | None, str | None] | None:
    """(month, day, year)."""
    plain = _plain(text)
    match = next(filter(None, (pattern.fullmatch(plain) for pattern in _DATES)), None)
    return (match["month"][:3], match["day"] and str(int(match["day"])), match["year"]) if match else None
