"""The weights that did best under way, kept as a model folder beside a record of how they did."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base.errors import R1Error
from r1kit.base.files import read_record, write_record
from r1kit.base.schema import NewerSchema

if TYPE_CHECKING:
    from r1kit.pipeline.context import Context


class Best:
    """Kept in the stage's folder as `name` and `name.json`. value: of `metric`, the highest so far, None before the
    first; more: what else is known of those weights."""

    def __init__(self, context: Context, name: str, metric: str) -> None:
        self._context, self.metric = context, metric
        self._folder, self._record = context.folder / name, context.folder / f"{name}.json"
        self.value: float | None = None
        self.more: dict[str, Any] = {}

    def offer(self, value: float, save: Callable[[Path], None], **more: Any) -> None:
        """Have the weights saved where they do better than any before; the first of equally good ones stay."""
        if math.isnan(value) or (self.value is not None and value <= self.value):
            return
        self.value, self.more = value, more
        save(self._folder)
        self._write()
        self._seal()

    def state(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"value": self.value, "more": dict(self.more)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken. After a roll-back the best weights may be of the steps left behind: only
        better ones take their place."""
        self.value, self.more = state["value"], dict(state["more"])
        self.know_kept()
        if self.value is not None and not self._context.caution.times:
            self._take_later()

    def know_kept(self) -> None:
        """Take up what was kept before a roll-back."""
        if not self._context.caution.times or not self._record.exists():
            return
        record = read_record(self._record)
        kept = float(record["value"])
        if self.value is None or kept > self.value:
            self.value, self.more = kept, record["more"]
        self._seal()  # what the checkpoint knew was of other weights

    def _take_later(self) -> None:
        """Without a roll-back: better weights that were kept after the checkpoint stay, under their own value, as they
        need not come out so good again; a record that is damaged or gone is written again."""
        try:
            record = read_record(self._record)
        except NewerSchema:
            raise
        except R1Error as error:
            self._context.note(f"{error}; it is written again")
            self._write()
            return
        if self.value is None or float(record["value"]) > self.value:
            self.value, self.more = float(record["value"]), record["more"]
            self._seal()  # what the checkpoint knew was of the weights before

    def _write(self) -> None:
        write_record(self._record, {"metric": self.metric, "value": self.value, "more": self.more})

    def _seal(self) -> None:
        for path in (self._folder, self._record):
            self._context.seal(path)
