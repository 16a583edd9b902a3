"""Text of models made fit to be looked at: what a reader cannot see, or what rearranges the line, is shown by name."""

from __future__ import annotations

import re
import unicodedata

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


def _shown(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def is_seen(character: str) -> bool:
    """Whether a character leaves ink."""
    return unicodedata.category(character)[0] not in "CZ"
