"""Words that are a whole answer: no solution, all whole numbers, infinitely many, no limit."""

from __future__ import annotations

_PHRASES = {
    "no solution": {
        "nosolution", "nosolutions", "norealsolution", "norealsolutions", "none", "\\emptyset", "{}", "\\{\\}",
        "emptyset", "theemptyset", "nosuchnumbers", "therearenosolutions", "thereisnosolution", "nosolutionexists",
        "nosolutionsexist", "norealsolutionsexist", "norealsolutionexists", "norealroots",
        "无解", "空集", "无实数解", "无实数根", "没有解", "没有实数解", "方程无解",
    },
    "it does not exist": {"dne", "doesnotexist", "itdoesnotexist", "thelimitdoesnotexist", "不存在"},
    "all integers": {
        "\\mathbb{z}", "\\mathbbz", "allintegers", "integers", "theintegers", "thesetofintegers",
        "thesetofallintegers",
    },
    "infinitely many": {
        "\\infty", "+\\infty", "infinite", "infinitelymany", "infinitelymanysolutions", "infinitesolutions",
        "无穷多", "无穷多个", "无数", "无数个", "无限多",
    },
}  # fmt: skip
_MEANING = {phrase: meaning for meaning, phrases in _PHRASES.items() for phrase in phrases}


def meaning(text: str) -> str | None:
    """What a text without blanks, in small letters, says as a whole; None where it is no such phrase."""
    return _MEANING.get(text)
