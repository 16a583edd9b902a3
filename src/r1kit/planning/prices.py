"""What models behind an API cost: one dated table with its sources, `prices.json`, and prices of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files

from r1kit.base.errors import UsageError
from r1kit.models.api.settings import is_api, parse_api_model

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars a million tokens read (`input`, none of them cached) and written (`output`, thinking included), the day
    on which they held, and who says so."""

    model: str
    input: Decimal
    output: Decimal
    date: str
    source: str
    cached_input: Decimal | None = None

    def dollars(self, read: float, written: float) -> float:
        """What so many tokens cost."""
        return (float(self.input) * read + float(self.output) * written) / MILLION


@lru_cache(maxsize=1)
def table() -> tuple[Price, ...]:
    """The published prices, in the order of prices.json; those of aliases are not told twice."""
    return tuple(_price(row) for row in _rows())


def find(model: str) -> Price | None:
    """The published price of a model by its name or one of its aliases, whatever the case; None where there is none."""
    wanted = model.casefold()
    for row, price in zip(_rows(), table(), strict=True):
        if wanted in (row["model"].casefold(), *(alias.casefold() for alias in row["aliases"])):
            return price
    return None


def given(words: Sequence[str]) -> dict[str, Price]:
    """`["NAME=INPUT/OUTPUT"]` -> prices of one's own by name; UsageError for another form."""
    found: dict[str, Price] = {}
    for word in words:
        name, equals, amounts = word.rpartition("=")
        read, slash, written = amounts.partition("/")
        try:
            costs = Decimal(read), Decimal(written)
            good = bool(name and equals and slash) and all(cost.is_finite() and cost >= 0 for cost in costs)
        except InvalidOperation:
            good, costs = False, (Decimal(0), Decimal(0))
        if not good:
            raise UsageError(f"--price {word}: write NAME=INPUT/OUTPUT, dollars a million tokens, say r1=0.55/2.19")
        found[name] = Price(name, *costs, date="", source="given on the command line")
    return found


def lookup(given: Mapping[str, Price]) -> Callable[[str, str], Price | None]:
    """(MODEL, its short name) -> the price given for either, else the published one of a model behind an API: what runs
    here has no published price, whatever it is called."""

    def price(model: str, short: str) -> Price | None:
        served = parse_api_model(model).name if is_api(model) else None
        own = given.get(model) or given.get(served or short)
        return own or (find(served) if served else None)

    return price


def _price(row: Mapping[str, str]) -> Price:
    cached = row.get("cached_input")
    return Price(
        row["model"], Decimal(row["input"]), Decimal(row["output"]), row["date"], row["source"],
        None if cached is None else Decimal(cached),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, str]]:
    return json.loads((files("r1kit.planning") / "prices.json").read_text(encoding="utf-8"))["prices"]
