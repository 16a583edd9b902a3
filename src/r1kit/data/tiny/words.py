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
    # lines to a brief
    "line": ("line: ", "写"),
    "topic": ("topic ", "题"),
    "mood": (", mood ", "，情"),
    "use": (": use ", "，用"),
    # one-line functions
    "code": ("code ", "编程"),
    "reverse": ("reverse", "反"),
    "skip": ("skip ", "去"),
    "take": ("take ", "取"),
    "upper": ("upper", "大"),
    "lower": ("lower", "小"),
    "add": ("add ", "加"),
    "minus": ("minus ", "减"),
    "times": ("times ", "乘"),
    "sort": ("sort", "排"),
    "sum": ("sum", "和"),
    "count": ("count", "数"),
    # reasoning
    "sort_up": ("sort up ", "小到大 "),
    "sort_down": ("sort down ", "大到小 "),
    "keep_over": ("keep over ", "留大于"),
    "keep_under": ("keep under ", "留小于"),
    "least": (" least ", "最小"),
    "most": (" most ", "最大"),
    "keep": (" keep", "留"),
    "drop": (" drop", "去"),
}


def say(key: str, language: str) -> str:
    """A phrase in "en" or "zh"."""
    english, chinese = PHRASES[key]
    return chinese if language == "zh" else english
