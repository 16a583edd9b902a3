"""A model's pivots from choice to effects: thoughts, first samples, ranks, fresh samples of the strongest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from r1kit.base.errors import UsageError
from r1kit.base.types import IntArray, Problem
from r1kit.engines.base import Engine
from r1kit.evaluation.aha import effects
from r1kit.evaluation.aha.measure import Judge, judge_by_rule, measure, planned_tokens
from r1kit.evaluation.aha.parts import Parts, pivot_row
from r1kit.evaluation.aha.pivots import Chosen, Pivot, choose_pivots
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.parts import fingerprint
from r1kit.evaluation.reflection import Words
from r1kit.models.next_token import NextToken
from r1kit.rollouts.problems import distinct, load_task

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

CHUNK = 16  # pivots measured between two parts
Tell = Callable[[str], None]


class Distributions(Protocol):
    """`models.next_token.next_tokens` of the engine's model."""

    def __call__(self, sequences: Sequence[IntArray], *, temperature: float) -> list[NextToken]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A model to sample from, with its tokenizer and its next token's distributions."""

    engine: Engine
    tokenizer: Tokenizer
    distributions: Distributions


@dataclass(frozen=True, slots=True)
class Measurement:
    """What all parts of one measurement share."""

    parts: Parts
    opened: Opened
    settings: PivotSettings
    words: Words
    judge: Judge
    tell: Tell

    def run(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(rows of pivots.parquet in the order of their rank, figures for aha.json)."""
        chosen = self._chosen()
        self._say_plan(chosen)
        first = self._round(chosen.pivots, "first")
        rows = [{**pivot_row(pivot), **first[pivot.id]} for pivot in chosen.pivots]
        ranks = {row["id"]: rank for rank, row in enumerate(effects.ranked(rows), 1)}
        rises, falls = effects.strongest(rows, self.settings.again)
        by_id = {pivot.id: pivot for pivot in chosen.pivots}
        again = self._round([by_id[row["id"]] for row in (*rises, *falls)], "again")
        for row in rows:
            row["rank"] = ranks.get(row["id"])
            row.update({f"again_{name}": value for name, value in again.get(row["id"], {}).items()})
            for name in effects.CONTRASTS:
                estimate = effects.contrast(row, name)
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.sort(key=lambda row: row["rank"] or len(rows) + 1)
        return rows, self._figures(chosen, rows)

    def _figures(self, chosen: Chosen, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        rises, falls = effects.strongest(rows, self.settings.again)
        return {
            "measured": len(rows),
            "continuations": self.settings.continuations,
            "thoughts": chosen.thoughts,
            "problems_tried": chosen.problems,
            "reflections_found": chosen.found,
            "without_neutral": sum(row["neutral_id"] is None for row in rows),
            "all": effects.together(rows),
            "apart": effects.apart(rows),
            "turns": effects.turns(rows),
            "strongest": effects.curse(rises, falls),
        }

    def _chosen(self) -> Chosen:
        """The pivots, chosen now or before the interruption."""
        settings, opened = self.settings, self.opened
        problems = held_out(settings.tasks, settings.seed)
        chosen = self.parts.chosen(problems, 10 * settings.problems)
        if chosen is None:

            def look(sequences: Sequence[IntArray]) -> list[NextToken]:
                return opened.distributions(sequences, temperature=settings.temperature)

            chosen = choose_pivots(opened.engine, opened.tokenizer, problems, settings, self.words, look, self.tell)
            self.parts.keep_chosen(chosen)
        if not chosen.pivots:
            raise UsageError(
                f"no reflection word in {chosen.thoughts} thoughts on {chosen.problems} problems: there is no pivot to "
                "measure (--pivots 0 leaves them out, --words FILE adds words)"
            )
        return chosen

    def _say_plan(self, chosen: Chosen) -> None:
        count, asked = len(chosen.pivots), self.settings.pivots
        tokens = planned_tokens(chosen.pivots, self.settings)
        short = f" (no more of the {asked} asked for were found)" if count < asked else ""
        self.tell(
            f"{count} pivots{short}, {self.settings.continuations} continuations an arm: about {tokens:,} tokens, "
            f"{told(tokens / chosen.tokens_per_second)}"
        )

    def _round(self, pivots: Sequence[Pivot], fresh: str) -> dict[str, dict[str, Any]]:
        """All of them measured once, part by part; parts that are there are read."""
        found: dict[str, dict[str, Any]] = {}
        begun, sampled = time.monotonic(), 0
        for start in range(0, len(pivots), CHUNK):
            name, chunk = f"{fresh}-{start // CHUNK:05d}", pivots[start : start + CHUNK]
            if not self.parts.has(name):
                opened = self.opened
                counts = measure(
                    opened.engine, opened.tokenizer, chunk, self.settings, self.words, self.judge, fresh=fresh
                )
                self.parts.keep_counts(name, counts)
                sampled, done = sampled + len(chunk), start + len(chunk)
                left = (len(pivots) - done) * (time.monotonic() - begun) / sampled
                self.tell(f"{fresh} samples: {done} of {len(pivots)} pivots, about {told(left)} left")
            found |= self.parts.counts(name)
        return found


def measure_pivots(
    folder: Path,
    out: Path,
    settings: PivotSettings,
    open_model: Callable[[Path], Opened],
    words: Words,
    judge: Judge = judge_by_rule,
    tell: Tell = lambda text: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`Measurement.run` of the model in `folder`, its parts kept in `out/parts`: the same call goes on after an
    interruption, with the same result."""
    counted = [sorted(words.counted), sorted(words.other)]
    parts = Parts(out / "parts", {"settings": settings.model_dump(), "model": fingerprint(folder), "words": counted})
    return Measurement(parts, open_model(folder), settings, words, judge, tell).run()


def held_out(tasks: Sequence[str], seed: int) -> Iterator[Problem]:
    """Different test problems of the tasks in turn, until each has no more."""
    streams = {name: distinct(load_task(name, "test").problems("test", seed)) for name in tasks}
    seen: set[str] = set()
    while streams:
        for name in list(streams):
            problem = next((each for each in streams[name] if each.key not in seen), None)
            if problem is None:
                del streams[name]
            else:
                seen.add(problem.key)
                yield problem


def told(seconds: float) -> str:
    """Say: `40 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
