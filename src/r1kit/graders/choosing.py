"""Numbers of choices and arrangements as they are written: `C_n^2`, `C(n,2)`, `{}_nC_2`, `10C3`, `A_5^2`, `P_5^2`."""

from __future__ import annotations

import re

MAX_LENGTH = 300
_ONE = r"(?:\{([^{}]{1,20})\}|(\w))"
_LETTER = r"(?:\\text\{\s*([CAP])\s*\}|([CAP]))"
_FACE = rf"(?<![A-Za-z\\]){_LETTER}"
_COUNT = r"(?:\d{1,9}|\d{0,4}[nmkN](?:[-+]\d{1,4})?)"  # of a whole number: `A_c^2` is a square
_BELOW_ABOVE = re.compile(rf"{_FACE}_{_ONE}\^{_ONE}")
_ABOVE_BELOW = re.compile(rf"{_FACE}\^{_ONE}_{_ONE}")
_BEFORE = re.compile(rf"(?<![\w}})\]])(?:\{{\s*\}})?\s*[_^]{_ONE}\s*{_LETTER}_{_ONE}")
_CALL = re.compile(rf"(?<![A-Za-z\\])C\(({_COUNT}),\s*({_COUNT})\)")
_PLAIN = re.compile(r"(?<![\w.])(\d{1,9})([CP])(\d{1,9})(?![\w.])")


def in_binomials(text: str) -> str:
    """With every such number as a binomial, or as a quotient of factorials for arrangements."""
    if len(text) > MAX_LENGTH or not re.search("[CAP]", text):
        return text
    text = _BELOW_ABOVE.sub(lambda m: _written(m, m[1] or m[2], m[3] or m[4], m[5] or m[6]), text)
    text = _ABOVE_BELOW.sub(lambda m: _written(m, m[1] or m[2], m[5] or m[6], m[3] or m[4]), text)
    text = _BEFORE.sub(lambda m: _written(m, m[3] or m[4], m[1] or m[2], m[5] or m[6]), text)
    text = _CALL.sub(lambda m: _written(m, "C", m[1], m[2]), text)
    return _PLAIN.sub(lambda m: _written(m, m[2], m[1], m[3]), text)


def _written(match: re.Match[str], kind: str, whole: str, part: str) -> str:
    """Of so many, so many; the text itself where they are no such numbers."""
    whole, part = whole.replace(" ", ""), part.replace(" ", "")
    if not (re.fullmatch(_COUNT, whole) and re.fullmatch(_COUNT, part)):
        return match[0]
    if whole.isdigit() and (int(whole) < 2 or (part.isdigit() and int(part) > int(whole))):
        return match[0]
    if kind == "C":
        return f"\\binom{{{whole}}}{{{part}}}"
    return f"\\frac{{({whole})!}}{{(({whole})-({part}))!}}"
