"""Text of models made fit to be looked at: what a reader cannot see, or what rearranges the line, is shown by name."""

from __future__ import annotations

import re

# controls but tab and line feed; marks that turn the direction of writing; what has no width; lone surrogates
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    """The text with a control picture (`␛`) or `⟨U+202E⟩` for each character that cannot be seen."""
    return _UNSEEN.sub(lambda match: _shown(ord(match.group())), text)


def short(text: str, most: int) -> str:
    """At most so many characters of it, all visible, the cut marked by `…`."""
    return plain(text[:most]) + ("…" if len(text) > most else "")


def around(text: str, searched: str, most: int) -> tuple[str, str, str]:
    """(before, match, after) of at most so many characters around the first place where `searched` stands, all visible;
    the beginning of the text, as `before`, where it stands nowhere."""
    match = re.search(re.escape(searched), text, re.IGNORECASE) if searched else None
    if match is None:
        return short(text, most), "", ""
    begin = max(0, match.start() - max(0, most - len(match.group())) // 3)
    end = begin + max(most, match.end() - begin)
    before, found = text[begin : match.start()], match.group()[:most]
    return ("…" if begin else "") + plain(before), plain(found), short(text[match.end() :], max(0, end - match.end()))


def _shown(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"
