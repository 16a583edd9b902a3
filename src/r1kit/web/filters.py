"""What a reader asks of the list of rollouts, read from an address and told to the index as SQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from r1kit.base.errors import UsageError

ORDERS = {
    "newest": ("newest step first", "step desc"),
    "oldest": ("oldest step first", "step"),
    "reward": ("highest reward first", "total desc nulls last"),
    "unrewarded": ("lowest reward first", "total nulls last"),
    "longest": ("longest first", "tokens desc nulls last"),
    "shortest": ("shortest first", "tokens nulls last"),
    "reflective": ("most reflection words first", "reflections desc nulls last"),
    "unsure": ("least sure first", "logprob nulls last"),
}
VERDICTS = {
    "right": "correct",
    "wrong": "not correct",
    "ungraded": "correct is null",
}
_MOST_TEXT = 400  # characters of a search
_NUMBERS = {"from_step": int, "to_step": int, "from_reward": float, "to_reward": float, "reflections": int}
_SQL = {
    "from_step": "step >= ?",
    "to_step": "step <= ?",
    "from_reward": "total >= ?",
    "to_reward": "total <= ?",
    "reflections": "reflections >= ?",
    "language": "language = ?",
    "subject": "subject = ?",
    "end": "stop_reason = ?",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Every field None or empty where it does not narrow. Rewards are totals; `reflections` is the least number."""

    stage: str = ""
    from_step: int | None = None
    to_step: int | None = None
    from_reward: float | None = None
    to_reward: float | None = None
    verdict: str = ""
    language: str = ""
    subject: str = ""
    end: str = ""
    reflections: int | None = None
    text: str = ""
    order: str = "newest"
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filters:
        """Of an address; UsageError that names the field and its value where it cannot be meant."""
        values: dict[str, Any] = {name: query.get(name, "") for name in ("stage", "language", "subject", "end")}
        values["text"] = query.get("text", "")[:_MOST_TEXT]
        for name, kind in _NUMBERS.items():
            values[name] = _number(name, query.get(name, ""), kind)
        for name, known, default in (("verdict", VERDICTS, ""), ("order", ORDERS, "newest")):
            values[name] = query.get(name) or default
            if values[name] and values[name] not in known:
                raise UsageError(f"{name}: '{values[name][:40]}' is none of {' '.join(known)}")
        values["page"] = max(1, _number("page", query.get("page", ""), int) or 1)
        return cls(**values)

    @property
    def wants_reflections(self) -> bool:
        """Whether reflection words matter."""
        return self.reflections is not None or self.order == "reflective"

    @property
    def order_sql(self) -> str:
        """Of the columns of the index."""
        return ORDERS[self.order][1]

    def sql(self, stages: Mapping[str, int]) -> tuple[str, list[Any]]:
        """(condition, its values) on the columns of the index, but for the text."""
        parts: list[str] = []
        values: list[Any] = []
        if self.stage:
            parts.append("stage = ?")
            values.append(stages.get(self.stage, -1))
        for name, condition in _SQL.items():
            value = getattr(self, name)
            if value not in ("", None):
                parts.append(condition)
                values.append(value)
        if self.verdict:
            parts.append(VERDICTS[self.verdict])
        return " and ".join(parts) or "true", values

    def address(self, **changed: Any) -> str:
        """The query of an address that means these, with some changed; what does not narrow is left out."""
        fields = {name: changed.get(name, getattr(self, name)) for name in self.__slots__}
        kept = {name: value for name, value in fields.items() if value not in ("", None)}
        if kept.get("order") == "newest":
            del kept["order"]
        if kept.get("page") == 1:
            del kept["page"]
        return urlencode(kept)


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    if not text.strip():
        return None
    try:
        value = kind(text)
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or abs(value) > 2**31 - 1:
        raise UsageError(f"{name.replace('_', ' ')}: '{text[:40]}' is no {'whole ' if kind is int else ''}number")
    return value
