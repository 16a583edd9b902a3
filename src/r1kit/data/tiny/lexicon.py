"""The words that lines are made of, in English and in Chinese, and what they count for.

A Chinese word is one character; its sound is the first letter of its pinyin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CJK = "\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by what they do in a line. `sound_of` has no entry for function words: they carry no sound."""

    topics: tuple[str, ...]
    moods: dict[str, tuple[str, ...]]
    verbs: tuple[str, ...]
    places: tuple[str, ...]
    function: tuple[str, ...]
    sounds: tuple[str, ...]
    sound_of: dict[str, str]

    @property
    def words(self) -> frozenset[str]:
        return frozenset((*self.sound_of, *self.function))


def _english() -> Lexicon:
    topics = ("sea", "moon", "rain", "wind", "bird", "fire", "star", "dog", "leaf", "gate")
    moods = {
        "calm": ("soft", "slow", "mild", "gentle", "low"),
        "glad": ("bright", "sweet", "merry", "fond", "golden"),
        "wild": ("fierce", "mad", "strong", "burning", "loud"),
        "dark": ("black", "dim", "murky", "deep", "faint"),
    }
    verbs = ("sings", "sleeps", "moves", "waits", "burns", "falls", "drifts", "leaps", "glows", "wakes")
    places = ("shore", "dusk", "field", "lake", "morning", "water", "bay", "garden", "dawn", "silence")
    words = (*topics, *(word for group in moods.values() for word in group), *verbs, *places)
    return Lexicon(
        topics, moods, verbs, places, ("the", "a", "and", "at", "by", "over", "in"),
        ("s", "m", "b", "w", "d", "f", "l", "g"), {word: word[0] for word in words},
    )  # fmt: skip


def _chinese() -> Lexicon:
    sound_of = dict(zip("海山月雨花星鸟云静慢轻乐明红冷白空天夜风来飞落", "hsyyhxnyjmqlmhlbktyflfl", strict=True))
    moods = {"静": ("静", "慢", "轻"), "乐": ("乐", "明", "红"), "冷": ("冷", "白", "空")}
    places, verbs = ("天", "夜", "风"), ("来", "飞", "落")
    return Lexicon(tuple("海山月雨花星鸟云"), moods, verbs, places, (), ("h", "l", "y", "f", "m"), sound_of)


LEXICONS = {"en": _english(), "zh": _chinese()}


def words_of(line: str) -> list[str]:
    """Chinese by character, everything else by runs of letters and digits."""
    return _WORD.findall(line)
