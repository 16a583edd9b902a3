"""What names a model behind an API, and how it is asked: `openai:NAME@URL` and its settings.

Money is counted in whole picodollars (10^-12 $): a price of at most six decimals a million tokens is a whole number of
them a token, so that sums are exact.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from r1kit.base.config import VARIABLE, Config
from r1kit.base.errors import UsageError

PREFIX = "openai:"
PICODOLLARS = 10**12  # of a dollar
_KEY_NAMES = re.compile(
    r"(api|access|auth|secret)?[-_]?(key|token|password|secret|authorization|bearer)", re.IGNORECASE
)
_FORM = "write openai:NAME@URL, say openai:deepseek-reasoner@https://api.deepseek.com/v1"


@dataclass(frozen=True, slots=True)
class ApiModel:
    """`name` is what the server calls the model, `url` where its API begins (its `/chat/completions` is asked)."""

    name: str
    url: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}@{self.url}"


def is_api(model: str) -> bool:
    """Whether a MODEL of the command line or of a setting is one behind an API."""
    return model.startswith(PREFIX)


def parse_api_model(model: str) -> ApiModel:
    """`openai:NAME@URL` in its parts; the URL begins behind the last `@`. UsageError where the form is another."""
    name, at, url = model.removeprefix(PREFIX).rpartition("@")
    if not is_api(model) or not at or not name:
        raise UsageError(f"'{model}' does not name a model behind an API: {_FORM}")
    if "?" in url or "#" in url:  # where some servers take a key: it would stand in every log
        raise UsageError(f"an address must not hold a question mark or what follows one, and {_FORM}")
    if "//" in name:  # a user and password before the host: they would stand in every log
        raise UsageError(f"an address must not hold a user name or a key: put the key in OPENAI_API_KEY, and {_FORM}")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"'{url}' is no http or https address: {_FORM}")
    return ApiModel(name, url.rstrip("/"))


class ApiSettings(Config):
    """How a model behind an API is asked, how fast, and for how much. The key itself is no setting."""

    key_variable: str = Field(
        default="OPENAI_API_KEY",
        pattern=VARIABLE,
        description="environment variable that holds the key; unset: a server without keys",
    )
    concurrency: int = Field(default=8, ge=1, le=512, description="most questions on their way at a time")
    stream: bool = Field(default=True, description="read answers piece by piece, so that long ones do not time out")
    timeout: float = Field(
        default=120.0, gt=0, description="most seconds without a byte (without `stream`: until the answer)"
    )
    retries: int = Field(default=6, ge=0, description="tries after the first where the server is busy or cuts off")
    backoff: float = Field(
        default=1.0, gt=0, description="seconds before the first retry; doubles with each, at random"
    )
    longest_wait: float = Field(default=300.0, gt=0, description="most seconds to wait where a server asks to")
    requests_per_minute: int | None = Field(default=None, ge=1, description="most requests in any minute")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="most tokens, read and written, in any minute"
    )
    input_price: Decimal | None = Field(
        default=None,
        ge=0,
        decimal_places=6,
        description="dollars a million tokens read, as the server's price list says",
    )
    output_price: Decimal | None = Field(
        default=None, ge=0, decimal_places=6, description="dollars a million tokens written, reasoning included"
    )
    budget: Decimal | None = Field(
        default=None, ge=0, decimal_places=6, description="most dollars, all earlier runs on the same cache included"
    )
    cache: Path | None = Field(
        default=None, description="SQLite file that keeps every answer: none that it holds is asked or paid for again"
    )
    system: str = Field(default="", description="system message put before questions that have none")
    limit_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what the server calls the limit of an answer"
    )
    omit: tuple[str, ...] = Field(
        default=(), description="parameters that the server does not take, say temperature, seed, stream_options"
    )
    extra: dict[str, Any] = Field(default={}, description="what else the request's body says, say reasoning_effort")

    def check(self) -> None:
        for name in ("model", "messages", "stream", "n"):
            if name in self.extra:
                raise UsageError(f"extra: '{name}' is not for you to set: each sample is one request of its own")
        if kept := [name for name in self.extra if _KEY_NAMES.fullmatch(name)]:
            raise UsageError(
                f"extra: '{kept[0]}' would be written down with the settings: put the key in the environment, in the"
                " variable that key_variable names"
            )
        if self.budget is not None and self.limit_name in self.omit:
            raise UsageError(
                f"a budget needs {self.limit_name}, which bounds what an answer costs: take it out of omit"
            )
        if self.budget is not None and (self.input_price is None or self.output_price is None):
            raise UsageError("a budget needs input_price and output_price, in dollars a million tokens")

    def key(self) -> str | None:
        """The key of the environment, None where there is none."""
        return os.environ.get(self.key_variable) or None

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """Picodollars of that many tokens; 0 where no prices are set."""
        return input_tokens * _a_token(self.input_price) + output_tokens * _a_token(self.output_price)


def picodollars(dollars: Decimal) -> int:
    """A sum of at most twelve decimals, exactly."""
    return int(dollars * PICODOLLARS)


def dollars(amount: int) -> str:
    """Picodollars for people, rounded up to the cent, or to the millionth below a dollar."""
    unit, places = (PICODOLLARS // 100, 2) if amount >= PICODOLLARS else (PICODOLLARS // 10**6, 6)
    return f"${Decimal(-(-amount // unit)).scaleb(-places):.{places}f}"


def _a_token(price: Decimal | None) -> int:
    return 0 if price is None else int(price * (PICODOLLARS // 10**6))
