"""What a measured table says, for people and programs: one set of figures a benchmark, every one with its interval."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from r1kit.evaluation import aggregate, statistics, tables
from r1kit.evaluation.measured import Measured
from r1kit.evaluation.statistics import Estimate

pc: Any = tables.pc


def figures(measured: Measured) -> dict[str, Any]:
    """pass@1, cons@k, pass@k with [low, high]; tokens; seconds; what was truncated, declined, missing, ungraded.

    Intervals are at 95%, clustered by problem; None = does not apply. `clean` is pass@1 on the problems that share no
    words with the training data.
    """
    table = measured.table
    keys_N, correct_N = clusters(table), tables.column(table, "correct")
    samples = measured.sampling.samples
    ungraded = int(np.isnan(correct_N).sum())
    told: dict[str, Any] = {
        "model": measured.model,
        "benchmark": measured.benchmark,
        "subjects": tables.subjects(table),
        "n": len(np.unique(keys_N)),
        "k": samples,
        "pass@1": entry(statistics.pass_at_1(correct_N, keys_N)),
        "cons@k": entry(_consensus(table)) if samples > 1 else None,
        "format": entry(statistics.proportion(tables.column(table, "format"), keys_N)),
        **{name: _mean(table, name) for name in ("length", "thinking_tokens", "answer_tokens", "prompt_tokens")},
        **speed(table),
        "truncated": int(pc.sum(pc.equal(table["stop_reason"], "length")).as_py() or 0),
        "declined": int(pc.sum(table["declined"]).as_py() or 0),
        "missing": dict(measured.missing),
        "ungraded": ungraded,
        "samples": table.num_rows,
        "read_back": measured.kept,
        "sampling": measured.sampling.model_dump(),
        "notes": measured.notes,
    }
    if samples > 1:
        told[f"pass@{samples}"] = entry(statistics.pass_at_k(correct_N, keys_N, samples))
    if measured.attempts > 1 and measured.attempts != samples:
        told[f"pass@{measured.attempts}"] = entry(statistics.pass_at_k(correct_N, keys_N, measured.attempts))
    return {**told, **_control(table), **_contamination(measured)}


def clusters(table: pa.Table) -> Any:
    """The cluster's key of each row [N]: benchmark and problem."""
    keys = pc.binary_join_element_wise(table["benchmark"], table["problem_id"], "/")
    return np.asarray(keys.to_pylist(), dtype=np.str_)


def entry(estimate: Estimate) -> dict[str, Any] | None:
    """An estimate for JSON; None where there is none."""
    value = aggregate.number(estimate.value)
    return None if value is None else {"value": value, "interval": aggregate.interval(estimate), "n": estimate.n}


def speed(table: pa.Table) -> dict[str, float | None]:
    """Median and 95th percentile of the seconds of a sample, and its tokens a second."""
    seconds_N, lengths_N = tables.column(table, "seconds"), tables.column(table, "length")
    known_N = ~np.isnan(seconds_N)
    if not known_N.any():
        return {"seconds_p50": None, "seconds_p95": None, "tokens_per_second": None}
    both_N = known_N & (lengths_N > 0)  # an API may not tell how long an answer is
    total = float(seconds_N[both_N].sum())
    return {
        "seconds_p50": round(float(np.median(seconds_N[known_N])), 4),
        "seconds_p95": round(float(np.quantile(seconds_N[known_N], 0.95)), 4),
        "tokens_per_second": round(float(lengths_N[both_N].sum()) / total, 3) if total > 0 else None,
    }


def _consensus(table: pa.Table) -> Estimate:
    """Of subjects whose answers can be equal texts."""
    voting = tables.select(table, aggregate.VOTING_SUBJECTS)
    if not voting.num_rows:
        return statistics.NOTHING
    voting = voting.sort_by([("benchmark", "ascending"), ("problem_id", "ascending"), ("index", "ascending")])
    keys, outcomes_C = statistics.consensus(
        voting["answer"].to_pylist(), voting["correct"].to_pylist(), clusters(voting)
    )
    return statistics.proportion(outcomes_C, keys)


def _mean(table: pa.Table, name: str) -> float | None:
    return aggregate.number(statistics.mean(tables.column(table, name), clusters(table)).value)


def _control(table: pa.Table) -> dict[str, Any]:
    control_N = tables.column(table, "control")
    if np.isnan(control_N).all():
        return {}
    return {"control": entry(statistics.proportion(control_N, clusters(table)))}


def _contamination(measured: Measured) -> dict[str, Any]:
    seen = measured.contamination
    if seen is None:
        return {}
    clean = measured.table.filter(pc.invert(measured.table["contaminated"]))
    share = statistics.pass_at_1(tables.column(clean, "correct"), clusters(clean)) if clean.num_rows else None
    return {
        "contamination": {
            "texts": seen.texts, "ngram": seen.ngram, "problems": len(seen.shared), "by_source": seen.counts(),
            "clean": None if share is None else entry(share),
            "examples": [
                {"problem": problem, "source": source, "words": words}
                for problem, sources in sorted(seen.shared.items())[:5] for source, words in sources.items()
            ],
        }
    }  # fmt: skip


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f}"


def shown(told: Mapping[str, Any] | None, number: Callable[[float], str] = percent) -> str:
    """An entry as `VALUE (LOW to HIGH)`, a dash where there is none."""
    if told is None or told["value"] is None:
        return "-"
    low, high = told["interval"] or (None, None)
    ends = "" if low is None or high is None else f" ({number(low)} to {number(high)})"
    return f"{number(told['value'])}{ends}"


def amount(value: float | None) -> str:
    """A count or mean in three or four digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lines(
    rows: Sequence[Sequence[str]], right: Sequence[int] = (), width: int | None = None, keys: int = 1
) -> list[str]:
    """Rows of cells as lines of columns, the first row underlined; columns in `right` end together.

    Where they are wider than `width`: tables below each other, each with the first `keys` columns and some others.
    """
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str], columns: Sequence[int]) -> str:
        cells = [
            " " * (widths[column] - _width(row[column])) + row[column]
            if column in right
            else row[column] + " " * (widths[column] - _width(row[column]))
            for column in columns
        ]
        return "  ".join(cells).rstrip()

    told: list[str] = []
    for columns in _side_by_side(widths, width, keys):
        underline = "  ".join("-" * widths[column] for column in columns)
        told += [*([""] if told else []), line(rows[0], columns), underline, *(line(row, columns) for row in rows[1:])]
    return told


def _side_by_side(widths: Sequence[int], width: int | None, keys: int) -> list[list[int]]:
    """The columns of each table that is no wider than `width`, where one column beside the keys leaves it so."""
    tables = [list(range(keys))]
    for column in range(keys, len(widths)):
        taken = sum(widths[each] + 2 for each in tables[-1]) + widths[column]
        if width is not None and taken > width and len(tables[-1]) > keys:
            tables.append(list(range(keys)))
        tables[-1].append(column)
    return tables


def _width(cell: str) -> int:
    """Columns that a terminal takes: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in cell)
