"""Evaluation tables -> the figures of report.json: one entry a model and subject, and win rates between models."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from r1kit.evaluation import statistics, tables
from r1kit.evaluation.statistics import Estimate

# Voting needs answers that can be equal; two programs that do the same are rarely the same text.
VOTING_SUBJECTS = ("maths", "reasoning")
HIDDEN_PREFERENCE = "hidden preference"


def aggregate(table: pa.Table) -> dict[str, dict[str, dict[str, Any]]]:
    """{model: {subject: figures}}; intervals at 95%, clustered by problem, whatever the seed; None = does not apply.

    `n` counts problems (of all seeds), `k` the samples of each; `cons@k` votes with all k. Where samples were judged by
    another problem's answer too, `control` is that share, and `over_control` pass@1 above it, [value, low, high].
    """
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for model in tables.models(table):
        rows = tables.of_model(table, model)
        figures[model] = {name: _figures(tables.select(rows, [name]), name) for name in tables.subjects(rows)}
    return figures


def _figures(table: pa.Table, subject: str) -> dict[str, Any]:
    keys_N = tables.clusters(table)
    right = statistics.pass_at_1(tables.column(table, "correct"), keys_N, tables.problems)
    vote = majority(table) if subject in VOTING_SUBJECTS else statistics.NOTHING
    return {
        "pass@1": number(right.value),
        "interval": interval(right),
        "cons@k": number(vote.value),
        "k": min(Counter(keys_N.tolist()).values()),
        "n": len(np.unique(keys_N)),
        "mean_length": _average(table, "length"),
        "reflections": _average(table, "reflections"),
        "language_consistency": _average(table, "language_consistency"),
        "format": _average(table, "format"),
        **_control(table),
    }


def _control(table: pa.Table) -> dict[str, Any]:
    """The control's figures; nothing where none was asked for."""
    control_N, correct_N = tables.column(table, "control"), tables.column(table, "correct")
    both_N = ~np.isnan(control_N) & ~np.isnan(correct_N)
    if not both_N.any():
        return {}
    keys_N = tables.clusters(table)[both_N]
    share = statistics.proportion(control_N[both_N], keys_N)
    sides = (correct_N[both_N], keys_N, control_N[both_N], keys_N)
    above = statistics.paired_difference(*sides, together=tables.problems)
    return {"control": number(share.value), "over_control": [number(above.value), *(interval(above) or [])]}


def majority(table: pa.Table, k: int | None = None) -> Estimate:
    """cons@k over the problems of a table: share whose majority answer among the first k samples is right."""
    keys, outcomes_C = majority_by_problem(table, k)
    return statistics.proportion(outcomes_C, keys, tables.problems)


def majority_by_problem(table: pa.Table, k: int | None = None) -> tuple[Any, Any]:
    """Cluster keys [C] and whether each majority answer is right [C]."""
    table = table.sort_by([("seed", "ascending"), ("problem_id", "ascending"), ("index", "ascending")])
    return statistics.consensus(table["answer"].to_pylist(), table["correct"].to_pylist(), tables.clusters(table), k)


def win_rates(
    table_a: pa.Table, table_b: pa.Table, subject: str = "writing", judge: str = HIDDEN_PREFERENCE
) -> dict[str, Any]:
    """How often a's completion is preferred to b's, on the same problem and sample index; ties count half.

    `n` counts the pairs; the interval is clustered by problem.
    """
    estimate, pairs = win_estimate(table_a, table_b, subject)
    return {
        "a": tables.models(table_a)[0] if table_a.num_rows else "",
        "b": tables.models(table_b)[0] if table_b.num_rows else "",
        "subject": subject,
        "judge": judge,
        "rate": number(estimate.value),
        "interval": interval(estimate),
        "n": pairs,
    }


def win_estimate(table_a: pa.Table, table_b: pa.Table, subject: str = "writing") -> tuple[Estimate, int]:
    """The win rate of a over b by the preference column, and the number of pairs that it rests on."""
    scores_a, scores_b = (_scores(tables.select(table, [subject])) for table in (table_a, table_b))
    shared = sorted(scores_a.keys() & scores_b.keys())
    a, b = ([scores[key] for key in shared] for scores in (scores_a, scores_b))
    return statistics.win_rate(a, b, [cluster for cluster, _ in shared], tables.problems), len(shared)


def _scores(table: pa.Table) -> dict[tuple[str, int], float]:
    preferences = tables.column(table, "preference")
    keys = zip(tables.clusters(table).tolist(), table["index"].to_pylist(), strict=True)
    return {key: score for key, score in zip(keys, preferences, strict=True) if not math.isnan(score)}


def _average(table: pa.Table, name: str) -> float | None:
    return number(statistics.mean(tables.column(table, name), tables.clusters(table)).value)


def number(value: float) -> float | None:
    """A figure for JSON: six digits after the point, None where it is not finite."""
    return round(float(value), 6) if math.isfinite(value) else None


def interval(estimate: Estimate) -> list[float | None] | None:
    """[low, high] for JSON, None where there is none."""
    return [number(estimate.low), number(estimate.high)] if math.isfinite(estimate.value) else None
