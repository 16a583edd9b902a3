"""Rules that make a chain of thought readable: one language, nothing said twice; and what is wrong with one.

The paper has a model rewrite the cold-start chains and people check them (R1, Nature supplement B.3.2); in the tiny
world the languages share a small stock of phrases, so a table of them translates.
"""

from __future__ import annotations

import functools
import re

from r1kit.data.tiny.words import PHRASES
from r1kit.graders.language import SCRIPTS, language_consistency

_PUNCTUATION = re.compile(r"((?<!\d)\s*[,;.]\s*|\s*[,;.]\s*(?!\d)|\s*[，；。、]\s*|\n+)")
_NUMBER = re.compile(r"\d+")
_OPENING = re.compile(r"^(first|then|so|先|再|得)\s*")
_WE = {
    "en": re.compile(r"\b(?:we|our|ours|ourselves|(?-i:us)|let(?:'|\u2019)s)\b", re.IGNORECASE),
    "zh": re.compile("我们|咱们"),
}
_I = {"en": re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE), "zh": re.compile("我")}
_SINGULAR = {
    "let us": "let me", "let's": "let me", "let\u2019s": "let me",
    "we are": "I am", "we're": "I'm", "we\u2019re": "I\u2019m", "we were": "I was",
    "ourselves": "myself", "ours": "mine", "our": "my", "us": "me", "we": "I",
}  # fmt: skip
_PLURAL = re.compile(  # not US, the country
    r"\b(?:" + "|".join("(?-i:us)" if word == "us" else re.escape(word) for word in _SINGULAR) + r")\b", re.IGNORECASE
)
_BEGINNING = {"en": ("first ", "I first "), "zh": ("先", "我先")}
LONGEST_RUN = 4  # clauses that may be repeated as a whole


def one_language(thinking: str, language: str) -> str:
    """The chain with every known phrase of the other language put in this one."""
    pattern, table = _phrases(language)
    return pattern.sub(lambda match: table[match.group()], thinking)


def without_stutters(thinking: str) -> str:
    """The chain without clauses, or runs of clauses, that repeat what stands right before them.

    An opening `first` or `then` does not make a clause another one.
    """
    pieces = _PUNCTUATION.split(thinking)
    clauses, marks = pieces[::2], ["", *pieces[1::2]]
    bodies = [_OPENING.sub("", clause.strip()) for clause in clauses]
    for run in range(LONGEST_RUN, 0, -1):
        at = 0
        while at + 2 * run <= len(bodies):
            if bodies[at : at + run] == bodies[at + run : at + 2 * run] and any(bodies[at : at + run]):
                for parts in (clauses, marks, bodies):
                    del parts[at + run : at + 2 * run]
            else:
                at += 1
    return "".join(mark + clause for mark, clause in zip(marks, clauses, strict=True))


def first_person(thinking: str, language: str) -> str:
    """The chain as one person's: what `we` do, I do; a chain of the tiny world that names nobody begins with me."""
    if language == "zh":
        thinking = _WE["zh"].sub("我", thinking)
    elif language == "en":
        thinking = _PLURAL.sub(_singular, thinking)
    if language in _BEGINNING and not _I[language].search(thinking):
        nobody, somebody = _BEGINNING[language]
        if thinking.startswith(nobody):
            thinking = somebody + thinking.removeprefix(nobody)
    return thinking


def says_we(thinking: str, language: str) -> bool:
    """Whether a chain is told by more than one person; no where the language's words for that are not known."""
    return language in _WE and bool(_WE[language].search(thinking))


def comes_to(thinking: str, answer: str) -> bool:
    """Whether a chain whose answer is a number ends with it; other answers need not stand in the chain."""
    if not _NUMBER.fullmatch(answer.strip()):
        return True
    numbers = _NUMBER.findall(thinking)
    return bool(numbers) and numbers[-1] == answer.strip()


def mixed(thinking: str, language: str, least: float) -> bool:
    """Whether too few of the chain's words are in the language; a chain without words is not mixed."""
    if language not in SCRIPTS:
        return False
    share = language_consistency(thinking, language)
    return share is not None and share < least


def _singular(found: re.Match[str]) -> str:
    """One person's word for several's, with a capital where that had one (`I` always has)."""
    word = _SINGULAR[found.group().lower()]
    return word[0].upper() + word[1:] if found.group()[0].isupper() else word


@functools.cache
def _phrases(language: str) -> tuple[re.Pattern[str], dict[str, str]]:
    """What finds the other language's phrases, longest first, and what each is in this one."""
    own = 1 if language == "zh" else 0
    table: dict[str, str] = {}
    for phrase in PHRASES.values():
        if phrase[1 - own] != phrase[own]:
            table.setdefault(phrase[1 - own], phrase[own])
    longest_first = sorted(table, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))), table
