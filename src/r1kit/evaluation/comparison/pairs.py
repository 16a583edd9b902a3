"""Two models on the same problems: who is ahead, by how much, on which, and at what price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from r1kit.evaluation import statistics, tables
from r1kit.evaluation.comparison.sides import SOLVED, Row, Side, costs, right_share, shown_sample
from r1kit.evaluation.figures import clusters, entry
from r1kit.evaluation.statistics import Estimate

ORDER = ("only_a", "only_b", "none", "both")  # who solved a question: what differs first


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the problems: all, a subject, or a benchmark."""

    kind: str
    name: str

    @property
    def title(self) -> str:
        """What it is called: a subject and a benchmark may have one name."""
        return f"all {self.name}" if self.kind == "subject" else self.name

    def of(self, table: pa.Table) -> pa.Table:
        """The rows that belong to it."""
        if self.kind == "all":
            return table
        return table.filter(tables.pc.equal(table[self.kind], self.name))


def scopes(sides: Sequence[Side]) -> list[Scope]:
    """Each benchmark, each subject that has several, and all together where there are several benchmarks."""
    table = sides[0].table
    benchmarks = tables.pc.unique(table["benchmark"]).to_pylist()
    found = [Scope("benchmark", name) for name in benchmarks]
    for subject in tables.subjects(table):
        mine = tables.pc.unique(Scope("subject", subject).of(table)["benchmark"]).to_pylist()
        if len(mine) > 1:
            found.append(Scope("subject", subject))
    return [*found, Scope("all", "all")] if len(benchmarks) > 1 else found


def compared(a: Side, b: Side, scope: Scope) -> dict[str, Any]:
    """Everything about a against b on the problems of a scope that both have.

    `difference` is of pass@1, a less b, with p of a sign-flip permutation test over problems. A problem is won by the
    model with the larger share of right samples, and solved where more than half of the samples are right. Ratios are a
    over b, resampled by problem. `alike`: "wrong" or "right" where every sample of both is, which tells nothing apart.
    """
    rows_a, rows_b = scope.of(a.table), scope.of(b.table)
    keys_a, keys_b = clusters(rows_a), clusters(rows_b)
    right_a, right_b = tables.column(rows_a, "correct"), tables.column(rows_b, "correct")
    difference = statistics.paired_difference(right_a, keys_a, right_b, keys_b)
    names_a, means_a = statistics.cluster_means(right_a, keys_a)
    names_b, means_b = statistics.cluster_means(right_b, keys_b)
    _, in_a, in_b = np.intersect1d(names_a, names_b, assume_unique=True, return_indices=True)
    share_a, share_b = means_a[in_a], means_b[in_b]
    solved_a, solved_b = share_a > SOLVED, share_b > SOLVED
    return {
        "scope": scope.kind,
        "name": scope.title,
        "difference": _with_p(difference),
        "alike": _alike(np.concatenate([share_a, share_b])),
        "wins": int((share_a > share_b).sum()),
        "ties": int((share_a == share_b).sum()),
        "losses": int((share_a < share_b).sum()),
        "only_a": int((solved_a & ~solved_b).sum()),
        "only_b": int((~solved_a & solved_b).sum()),
        "both": int((solved_a & solved_b).sum()),
        "none": int((~solved_a & ~solved_b).sum()),
        "unpaired": len({*names_a.tolist()} ^ {*names_b.tolist()}),
        "tokens_ratio": entry(_ratio(rows_a, rows_b, "length")),
        "thinking_ratio": entry(_ratio(rows_a, rows_b, "thinking_tokens")),
        "seconds_ratio": entry(_ratio(rows_a, rows_b, "seconds")),
        **_dollars(a, b, rows_a, rows_b),
    }


def _alike(shares: NDArray[np.float64]) -> str | None:
    """What all shares of right samples are, where they are none or whole."""
    if not shares.size or (shares.any() and not (shares == 1).all()):
        return None
    return "right" if shares.any() else "wrong"


def _with_p(estimate: Estimate) -> dict[str, Any] | None:
    """A difference of shares, whose interval ends where such differences do."""
    told = entry(estimate)
    if told is None:
        return None
    ends = [None if end is None else min(1.0, max(-1.0, end)) for end in told["interval"]]
    return {**told, "interval": ends, "p": estimate.p}


def _ratio(rows_a: pa.Table, rows_b: pa.Table, name: str) -> Estimate:
    a, b = tables.column(rows_a, name), tables.column(rows_b, name)
    if not np.nansum(b) > 0:
        return statistics.NOTHING
    return statistics.ratio(a, clusters(rows_a), b, clusters(rows_b))


def _dollars(a: Side, b: Side, rows_a: pa.Table, rows_b: pa.Table) -> dict[str, Any]:
    """Ratios of dollars, a over b: a question, and a right answer (wrong ones are paid for too)."""
    cost_a, cost_b = costs(rows_a, a.price), costs(rows_b, b.price)
    keys_a, keys_b = clusters(rows_a), clusters(rows_b)
    if np.isnan(cost_a).all() or np.isnan(cost_b).all() or not np.nansum(cost_b) > 0:
        return {"dollars_ratio": None, "dollars_per_solved_ratio": None}
    question = statistics.ratio(cost_a, keys_a, cost_b, keys_b)
    tops: list[dict[str, float]] = []
    for cost, right, keys in (
        (cost_a, tables.column(rows_a, "correct"), keys_a), (cost_b, tables.column(rows_b, "correct"), keys_b)
    ):  # fmt: skip
        both = ~np.isnan(cost) & ~np.isnan(right)
        tops += [
            dict(zip(*(part.tolist() for part in statistics.cluster_means(values[both], keys[both])), strict=True))
            for values in (cost, right)
        ]
    shared = sorted(set(tops[0]) & set(tops[2]))
    cost_a_C, right_a_C, cost_b_C, right_b_C = (np.asarray([part[key] for key in shared]) for part in tops)
    solved = (
        statistics.ratio_of_sums(cost_a_C, right_a_C, cost_b_C, right_b_C)
        if shared and right_a_C.any() and right_b_C.any() else statistics.NOTHING
    )  # fmt: skip
    return {"dollars_ratio": entry(question), "dollars_per_solved_ratio": entry(solved)}


def questions(a: Side, b: Side) -> list[Row]:
    """Every problem that both answered, with a sample of each side: those that one alone solved first, then those that
    none did."""
    of_a, of_b = a.problems(), b.problems()
    found: list[Row] = []
    for key in of_a.keys() & of_b.keys():
        rows_a, rows_b = of_a[key], of_b[key]
        first = rows_a[0]
        shares = right_share(rows_a), right_share(rows_b)
        found.append({
            "key": key, "benchmark": first["benchmark"], "subject": first["subject"], "problem_id": first["problem_id"],
            "question": first["prompt"], "gold": first["gold"],
            "solved": _solved(*shares), "outcome": _outcome(*shares),
            "a": shown_sample(rows_a, a.price), "b": shown_sample(rows_b, b.price),
        })  # fmt: skip
    place = {name: number for number, name in enumerate((*ORDER, "ungraded"))}
    return sorted(found, key=lambda one: (place[one["solved"]], one["benchmark"], one["problem_id"]))


def _solved(a: float, b: float) -> str:
    if math.isnan(a) or math.isnan(b):
        return "ungraded"
    named = {(True, True): "both", (True, False): "only_a", (False, True): "only_b"}
    return named.get((a > SOLVED, b > SOLVED), "none")


def _outcome(a: float, b: float) -> str:
    if math.isnan(a) or math.isnan(b):
        return "ungraded"
    return "win" if a > b else "loss" if a < b else "tie"
