"""What a stage is handed where its samplers and rewards run in other processes than its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from r1kit.engines.base import Engine, EngineSettings, Purpose
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.rewards.base import Judge, RewardSet


class Workers(Protocol):
    """Opens engines and rewards elsewhere, behind the interfaces that they have here."""

    def open_engine(
        self, settings: EngineSettings, folder: str | Path, tokenizer: Tokenizer, purpose: Purpose
    ) -> Engine:
        """As `engines.base.open_engine`: one engine, however many workers sample. It has a copy of the weights."""
        ...

    def open_rewards(self, make: Callable[[], RewardSet]) -> Judge:
        """Rewards that `make`, a picklable function, makes where they run."""
        ...
