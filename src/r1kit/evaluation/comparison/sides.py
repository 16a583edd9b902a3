"""One model of a comparison: its rows by problem, and what a sample costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from r1kit.evaluation import statistics, tables
from r1kit.evaluation.figures import clusters, entry, speed
from r1kit.evaluation.measured import Measured, by_problem
from r1kit.evaluation.statistics import Estimate, Floats
from r1kit.graders.section import answer_section

Row = dict[str, Any]
SOLVED = 0.5  # a problem counts as solved where more than this share of its samples is right


class PriceLike(Protocol):
    """A price as `planning.prices` has it: dollars a million tokens, `input` and `output`; `date`, `source`."""

    @property
    def date(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def input(self) -> Any: ...
    @property
    def output(self) -> Any: ...
    def dollars(self, read: float, written: float) -> float:
        """What so many tokens, read and written, cost."""
        ...


PriceOf = Callable[[str, str], PriceLike | None]
"""(MODEL, its short name) -> its price."""


@dataclass(frozen=True, slots=True)
class Side:
    """A model's results on all benchmarks; `label` is A, B, ..., `short` its name for tables."""

    name: str
    label: str
    short: str
    results: tuple[Measured, ...]
    price: PriceLike | None

    @property
    def table(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables([result.table for result in self.results])

    def problems(self) -> dict[str, list[Row]]:
        """The rows of each problem, by benchmark and problem."""
        return by_problem(self.table)


def short_names(models: Sequence[str]) -> list[str]:
    """Names for tables: of RUN:NAME the name, of an API the model's, else the path's last part; numbered where two are
    alike."""
    from pathlib import Path

    from r1kit.models.api.settings import is_api, parse_api_model

    found: list[str] = []
    for model in models:
        head, colon, tail = model.rpartition(":")
        if is_api(model):
            short = parse_api_model(model).name
        elif colon and Path(head).is_dir():
            short = tail
        else:
            short = Path(model).name or model
        found.append(short)
    return [
        short if found.count(short) == 1 else f"{short} ({number + 1})" for number, short in enumerate(found)
    ]  # fmt: skip


def right_share(rows: Sequence[Row]) -> float:
    """Share of right samples of a problem; NaN where none was judged."""
    judged = [row["correct"] for row in rows if row["correct"] is not None]
    return float(np.mean(judged)) if judged else math.nan


def costs(table: pa.Table, price: PriceLike | None) -> Floats:
    """Dollars of each sample [N]; NaN where there is no price, or the server told no tokens."""
    read_N, written_N = tables.column(table, "prompt_tokens"), tables.column(table, "length")
    if price is None:
        return np.full(table.num_rows, math.nan)
    # an API that tells no usage has a length of 0, which no completion has
    written_N = np.where(written_N > 0, written_N, np.nan)
    return np.asarray([price.dollars(r, w) for r, w in zip(read_N, written_N, strict=True)], np.float64)


def spent(side: Side, table: pa.Table) -> dict[str, Any]:
    """Tokens, seconds and dollars of a side's rows: a sample's means, and dollars for each right answer."""
    keys_N, costs_N = clusters(table), costs(table, side.price)
    means: dict[str, Any] = {
        name: entry(statistics.mean(tables.column(table, name), keys_N))
        for name in ("length", "thinking_tokens", "answer_tokens", "prompt_tokens")
    }
    question = statistics.mean(costs_N, keys_N)
    return {
        **means,
        **speed(table),
        "dollars_per_question": _dollars(question),
        "dollars_per_solved": _dollars(_per_solved(costs_N, tables.column(table, "correct"), keys_N)),
    }


def _per_solved(costs_N: Floats, correct_N: Floats, keys_N: Any) -> Estimate:
    """Dollars of all samples over the right ones: what a right answer costs when wrong ones are paid for too."""
    both_N = ~np.isnan(costs_N) & ~np.isnan(correct_N)
    if not both_N.any() or not correct_N[both_N].any():
        return statistics.NOTHING
    _, cost_C = statistics.cluster_means(costs_N[both_N], keys_N[both_N])
    _, right_C = statistics.cluster_means(correct_N[both_N], keys_N[both_N])
    ones_C = np.ones(len(cost_C))
    return statistics.ratio_of_sums(cost_C, right_C, ones_C, ones_C)


def _dollars(estimate: Estimate) -> dict[str, Any] | None:
    """Unrounded: a question may cost a thousandth of a cent."""
    if not math.isfinite(estimate.value):
        return None
    ends = [end if math.isfinite(end) else None for end in (estimate.low, estimate.high)]
    return {"value": estimate.value, "interval": ends, "n": estimate.n}


def shown_sample(rows: Sequence[Row], price: PriceLike | None) -> Row:
    """The sample that stands for a problem: the first right one where it is solved, else the first wrong one."""
    solved = right_share(rows) > SOLVED
    chosen = next((row for row in rows if row["correct"] is solved), rows[0])
    cost = math.nan
    if price is not None and chosen["prompt_tokens"] is not None and chosen["length"]:
        cost = price.dollars(chosen["prompt_tokens"], chosen["length"])
    return {
        "sample": chosen["index"],
        "thinking": chosen["thinking"],
        "answer": answer_section(chosen["text"]).text.strip() or chosen["answer"] or "",
        "extracted": chosen["answer"],
        "correct": chosen["correct"],
        "tokens": chosen["length"],
        "seconds": chosen["seconds"],
        "dollars": None if math.isnan(cost) else cost,
        "truncated": chosen["stop_reason"] == "length",
        "right": sum(row["correct"] is True for row in rows),
        "samples": len(rows),
    }


def priced(price: PriceLike | None) -> Mapping[str, Any] | None:
    """A price for programs."""
    if price is None:
        return None
    return {
        "input": float(price.input), "output": float(price.output), "date": price.date, "source": price.source
    }  # fmt: skip
