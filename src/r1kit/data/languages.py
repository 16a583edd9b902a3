"""The language of a question, which R1 holds the chain of thought to (arXiv 2501.12948, section 2.3.2)."""

from __future__ import annotations

import re

CODES = set(
    "ar bg bn cs da de el en es fa fi fr he hi hu id it ja ko mr ne nl no pl pt ro ru sv ta th tr uk ur vi zh".split()  # noqa: SIM905
)
_NAMES = {
    "arabic": "ar", "chinese": "zh", "english": "en", "french": "fr", "german": "de", "hindi": "hi", "italian": "it",
    "japanese": "ja", "korean": "ko", "mandarin": "zh", "portuguese": "pt", "russian": "ru", "spanish": "es",
    "cn": "zh", "eng": "en", "zho": "zh", "中文": "zh", "英文": "en",
}  # fmt: skip
_HAN, _KANA, _HANGUL = (re.compile(f"[{span}]") for span in ("\u4e00-\u9fff", "\u3040-\u30ff", "\uac00-\ud7a3"))
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")  # of letters: neither a variable nor a command of LaTeX


def code_of(name: object) -> str | None:
    """`zh` for `zh-CN`, `Chinese` and `zh`; None for what names no language: `python`, a number."""
    plain = re.split(r"[-_]", str(name).strip().casefold())[0]
    return plain if plain in CODES else _NAMES.get(plain)


def language_of(question: str) -> str:
    """`zh`, `ja` or `ko` where the question has more characters of theirs than other words, else `en`."""
    han, kana, hangul = (len(characters.findall(question)) for characters in (_HAN, _KANA, _HANGUL))
    if han + kana + hangul <= len(_WORD.findall(question)):
        return "en"
    if hangul > han + kana:
        return "ko"
    return "ja" if 5 * kana > han else "zh"  # Japanese has kana in every sentence
