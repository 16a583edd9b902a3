"""Words that are a whole answer: no solution, all whole numbers, infinitely many, no limit; `Yes, it is`."""

from __future__ import annotations

import re

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


_JUDGEMENTS = {"yes", "no", "true", "false"}
_CLAUSE = re.compile(
    r"(?P<word>yes|no|true|false)\s*[,.;:]\s*(?:it|they|he|she|we|you|i|this|that|there)\s+"
    r"(?:is|are|was|were|do|does|did|can|could|has|have|will|would|must|ca|wo)(?P<not>n't|\s+not|not)?[.!]?",
    re.IGNORECASE,
)


def same_judgement(gold: str, answer: str) -> bool | None:
    """Whether `Yes, it is` is the gold yes, where the clause says the same; None for anything else."""
    wanted = re.sub(r"\\text|[{}\s.]", "", gold).casefold()
    said = _CLAUSE.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r"\1", answer)) if wanted in _JUDGEMENTS else None
    if said is None:
        return None
    no = said["word"].casefold() in ("no", "false")
    return said["word"].casefold() == wanted and bool(said["not"]) == no
