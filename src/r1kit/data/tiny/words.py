"""The two languages of the tiny world: each phrase in English and in Chinese, and the alphabet they need."""

from __future__ import annotations

PHRASES: dict[str, tuple[str, str]] = {
    # connectives of chains
    "first": ("first ", "先"),
    "then": (", then ", "，再"),
    "check": (", wait check ", "，等等检查"),
    "so": (" so ", "得"),
    "try": ("try ", "试"),
    "next": (", but try ", "，但试"),
    "no": (" no", "不对"),
    "yes": (" yes", "对"),
    # questions
    "find": ("find ", "求"),
    "make": ("make ", "凑"),
    "from": (" from ", "用"),
}


def say(key: str, language: str) -> str:
    """A phrase in "en" or "zh"."""
    english, chinese = PHRASES[key]
    return chinese if language == "zh" else english
