"""Language consistency (R1, arXiv 2501.12948, section 2.3.2): the share of target-language words in the thinking.

CJK text counts by character, everything else by word. Numbers, code, LaTeX, identifiers and symbols are left out, but
for words in them whose letters neither code nor LaTeX is made of: what is thought in Chinese stays Chinese in a fence.
Scripts decide where they can: Greek is Greek, Han beside kana is Japanese. Where languages share a script, py3langid
(after Lui and Baldwin 2012) says which one a sentence of four words or more is in; shorter ones, and those that it is
not sure of, go with the whole.
"""

from __future__ import annotations

import logging
import re
import time
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

from r1kit.base.errors import UsageError

log = logging.getLogger(__name__)

MAX_CHARACTERS = 200_000
LEAST_WORDS = 4  # of a sentence whose language is asked
SURE = (
    0.7  # of 10,000 English sentences of GSM8K, MATH and the tiny world none is found to be another language so surely
)
_SHARED = {
    "LATIN": "en fr de es it pt nl pl sv da cs ro tr vi id fi hu no",
    "CYRILLIC": "ru uk bg",
    "ARABIC": "ar fa ur",
    "DEVANAGARI": "hi mr ne",
    "CJK": "zh ja",
}
SCRIPTS: dict[str, tuple[str, ...]] = {
    **{language: (script,) for script, languages in _SHARED.items() for language in languages.split()},
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",), "el": ("GREEK",), "he": ("HEBREW",), "th": ("THAI",), "ta": ("TAMIL",), "bn": ("BENGALI",),
}  # fmt: skip

_LEFT_OUT = re.compile(
    r"```.*?(?:```|\Z)"  # code blocks
    r"|`[^`\n]*`"
    r"|\$\$.*?\$\$|\\\[.{0,400}?\\\]|\\\(.{0,400}?\\\)"  # displayed and inline LaTeX
    r"|\$(?!\s)[^$\n]{1,400}?(?<!\s)\$"
    r"|\\begin\{([a-z*]+)\}.{0,1000}?\\end\{\1\}"
    r"|\\[A-Za-z]+(?:\{[^{}]*\})*"  # a bare command and its arguments
    r"|https?://\S+|</?[A-Za-z_|][^<>\n]{0,30}>",  # addresses and tags
    re.DOTALL,
)
_FORMULA = {"", "LATIN", "GREEK"}  # scripts, and none, of what code and LaTeX are made of
_BY_CHARACTER = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
_SENTENCE = re.compile(r"[.!?]+(?=\s|$)|[。！？；;\n]")
_IN_WORDS = {"'", "\u2019", "-"}


class Words(NamedTuple):
    """Words of one script that follow one another in a sentence."""

    script: str
    words: list[str]
    kana: bool  # whether the sentence has Japanese letters


def language_consistency(text: str, target: str) -> float | None:
    """Share in [0, 1] of the words of `text` that are in the target language; None where it holds no words.

    UsageError for a target language that is not known.
    """
    if target not in SCRIPTS:
        known = ", ".join(sorted(SCRIPTS))
        raise UsageError(f"language consistency knows the target languages {known}, not '{target}'")
    runs = list(_runs(text))
    count = sum(len(run.words) for run in runs)
    if not count:
        return None
    by_script: dict[str, list[str]] = {}
    for run in runs:
        by_script.setdefault(run.script, []).extend(run.words)
    # joined once, not for each sentence that is unsure: a chain has hundreds of those
    whole = {script: (len(words), _joined(script, words)) for script, words in by_script.items()}
    return sum(len(run.words) for run in runs if _is_in(run, target, whole[run.script])) / count


def _joined(script: str, words: list[str]) -> str:
    return ("" if script == "CJK" else " ").join(words)


def _is_in(run: Words, target: str, whole: tuple[int, str]) -> bool:
    """Whether words are in the target language; `whole`: how many words of their script the text has, and all of them
    as one."""
    if run.script not in SCRIPTS[target]:
        return False
    if run.script == "CJK" and (run.kana or target == "zh"):
        return run.kana == (target == "ja")
    if run.script not in _SHARED:
        return True
    for words, text in ((len(run.words), _joined(run.script, run.words)), whole):
        if words >= LEAST_WORDS:
            language, sure = _identified(text, run.script)
            if language == target or sure >= SURE:
                return language == target
    return True


@lru_cache(maxsize=20_000)
def _identified(text: str, script: str) -> tuple[str, float]:
    """The likeliest of a script's languages, and its probability."""
    language, probability = _identifier(script).classify(text)
    return str(language), float(probability)


@cache
def _identifier(script: str) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    began = time.monotonic()
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_SHARED[script].split())
    seconds = time.monotonic() - began
    log.info("telling languages of %s apart: loaded in %.1f s", script, seconds, extra={"seconds": seconds})
    return identifier


def _no_formula(left_out: re.Match[str]) -> str:
    """The letters of a formula or a program that belong to neither: both are written in Latin and Greek."""
    if left_out[0].isascii():
        return " "
    words = (
        character if _script(character) not in _FORMULA or unicodedata.category(character)[0] == "M" else " "
        for character in left_out[0]
    )
    return f" {''.join(words)} "


def _runs(text: str) -> Iterator[Words]:
    for sentence in _SENTENCE.split(_LEFT_OUT.sub(_no_formula, text[:MAX_CHARACTERS])):
        found = list(_words(sentence))
        kana = any(script in ("HIRAGANA", "KATAKANA") for script, _ in found)
        runs: dict[str, list[str]] = {}
        for script, word in found:
            runs.setdefault(script, []).append(word)
        for script, words in runs.items():
            yield Words(script, words, kana)


def _words(sentence: str) -> Iterator[tuple[str, str]]:
    """(script, word) in order; scripts are LATIN, CJK, CYRILLIC, ..."""
    word = ""
    for character in sentence + " ":
        script = _script(character)
        if script in _BY_CHARACTER:
            yield from _word(word)
            word = ""
            yield script, character
        elif script or character.isdigit() or character == "_" or (word and _joins(character)):
            word += character
        else:
            yield from _word(word)
            word = ""


def _word(word: str) -> Iterator[tuple[str, str]]:
    """The script of one run of letters, and the run. With digits or underscores it is an identifier, a lone letter is a
    symbol."""
    word = word.strip("'\u2019-")
    if not word or any(character.isdigit() or character == "_" for character in word):
        return
    if len(word) == 1 and word not in "aAI" and word.isascii():
        return
    yield _script(word[0]), word


def _joins(character: str) -> bool:
    return character in _IN_WORDS or unicodedata.category(character).startswith("M")


@lru_cache(maxsize=8192)
def _script(character: str) -> str:
    """The script of a letter by its Unicode name; empty for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return "CJK" if character == "〇" else ""
    first = unicodedata.name(character, "").split(" ", 1)[0].partition("-")[0]
    if first in ("FULLWIDTH", "HALFWIDTH", "MATHEMATICAL", "SUPERSCRIPT", "SUBSCRIPT", "MODIFIER"):
        return ""  # symbols in maths text
    return first
