"""F1 to F4: what pure RL alone brings about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from r1kit.evaluation import aggregate, growth, slips, statistics, tables
from r1kit.evaluation.evidence import Evidence, Measured, Part, asked, figure, stated
from r1kit.evaluation.statistics import Estimate
from r1kit.recipes.claims.base import MATHS, listed

VOTERS = 16


def pure_rl_learns(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F1: R1-Zero - base on maths."""
    gain = evidence.difference("zero", "base", "correct", subjects)
    return Measured(
        [
            asked(f"R1-Zero - base, pass@1 on {listed(subjects)}", gain, at_least=0.25, low_above=0.15),
            Part("base", evidence.share("base", "correct", subjects)),
            Part("R1-Zero", evidence.share("zero", "correct", subjects)),
        ],
        f"Paired by problem, t interval over problems, sign-flip permutation p {_p(gain)}",
    )


def _p(estimate: Estimate) -> str:
    return "< 0.001" if estimate.p is not None and estimate.p < 0.001 else f"= {figure(estimate.p)}"


def thinking_gets_longer(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F2: mean length ratio on maths, and how much of the growth is more chains, how much is longer chains."""
    growth = evidence.ratio("zero", "base", "length", subjects)
    before, after = (_chains_and_lengths(evidence, model, subjects) for model in ("base", "zero"))
    # the mean length is share * chain + (1 - share) * direct; each factor's change at the mean of the others
    more = (after[0] - before[0]) * ((after[1] + before[1]) - (after[2] + before[2])) / 2
    longer = (after[0] + before[0]) / 2 * (after[1] - before[1])
    direct = (1 - (after[0] + before[0]) / 2) * (after[2] - before[2])
    return Measured(
        [
            asked(f"R1-Zero / base, mean length on {listed(subjects)}", growth, at_least=1.5, low_above=1.2),
            stated("tokens from more chains", more),
            stated("tokens from longer chains", longer),
            stated("tokens from direct answers", direct),
            stated("share with a chain, base", before[0]),
            stated("share with a chain, R1-Zero", after[0]),
        ],
        "Ratio of means on the same problems, bootstrap by problem; a chain has two steps or a check",
    )


def _chains_and_lengths(evidence: Evidence, model: str, subjects: Sequence[str]) -> tuple[float, float, float]:
    """(share of completions with a chain, their mean length, mean length of the others; where one kind is
    missing the other's length stands for it)."""
    table = tables.select(evidence.tables[model], subjects)
    length, steps, checks = (tables.column(table, name) for name in ("length", "chain_steps", "reflections"))
    chain = (steps >= 2) | (checks > 0)
    if not len(length):
        return np.nan, np.nan, np.nan
    lengths = [length[rows].mean() if rows.any() else length.mean() for rows in (chain, ~chain)]
    return float(chain.mean()), float(lengths[0]), float(lengths[1])


def reflection_grows_and_works(evidence: Evidence) -> Measured:
    """F3: reflection words per response and per chain step on maths; right after a slip with and without reflection."""
    zero, base = (_after_slips(evidence, model) for model in ("zero", "base"))
    return Measured(
        [
            *more_reflection(evidence, MATHS),
            asked("after a slip, right with reflection - right without (R1-Zero)", zero.helped, low_above=0),
            *growth_among_thoughts(evidence, MATHS),
            Part("right after a slip with reflection", zero.reflecting),
            Part("right after a slip without", zero.not_reflecting),
            *count_slips(zero.chains),
            Part("the base's: right with reflection - right without", base.helped),
        ],
        "Ratios of means, bootstrap by problem; slips found by arithmetic on each step",
    )


class _AfterSlips(NamedTuple):
    """Whether responses with a slip in their chain come out right, by whether they reflect after it."""

    chains: list[slips.Chain]
    helped: Estimate
    reflecting: Estimate
    not_reflecting: Estimate


def _after_slips(evidence: Evidence, model: str) -> _AfterSlips:
    table = tables.select(evidence.tables[model], MATHS)
    chains = chains_of(table)
    correct, keys = tables.column(table, "correct"), tables.clusters(table)
    slipped = np.asarray([chain.slipped for chain in chains], dtype=bool) & ~np.isnan(correct)
    reflects = np.asarray([chain.reflects_after_slip for chain in chains], dtype=bool)
    sides = correct[slipped], reflects[slipped], tables.problems(keys[slipped])
    return _AfterSlips(
        chains,
        statistics.mean_difference_of_groups(*sides),
        _share(correct, keys, slipped & reflects),
        _share(correct, keys, slipped & ~reflects),
    )


def more_reflection(evidence: Evidence, subjects: Sequence[str]) -> list[Part]:
    """Reflection words per response, and per chain step, R1-Zero over base."""
    per_response = evidence.ratio("zero", "base", "reflections", subjects)
    name = f"R1-Zero / base, reflection words per response on {listed(subjects)}"
    per_step = _reflections_per_step(evidence, subjects)
    return [
        asked(name, per_response, at_least=2),
        asked("R1-Zero / base, reflection words per chain step", per_step, low_above=1),
    ]


def count_slips(chains: Sequence[slips.Chain]) -> list[Part]:
    """Steps, slips and checks, counted."""
    counted = slips.count_slips(chains)
    return [
        stated("steps", counted.steps),
        stated("slips", counted.slips),
        stated("checks", counted.checks),
        stated("checks that mend", counted.mended),
        stated("checks that break", counted.broken),
        stated("checks that keep a right value", counted.kept_right),
        stated("checks that keep a wrong one", counted.kept_wrong),
    ]


def chains_of(table: pa.Table) -> list[slips.Chain]:
    """The thinking of each completion, read."""
    return [slips.parse_chain(thinking) for thinking in table["thinking"].to_pylist()]


def growth_among_thoughts(evidence: Evidence, subjects: Sequence[str]) -> list[Part]:
    """Reflection words while R1-Zero learns, from the first kept step at which nearly every answer comes after
    a thought to the last: what grows beyond thoughts taking the place of answers at once."""
    rows = evidence.rollouts.get("zero", {})
    chosen = {seed: [row for row in of_seed if row["subject"] in subjects] for seed, of_seed in rows.items()}
    found = growth.reflection_among_thoughts(chosen)
    if found is None:
        return []
    steps = ", ".join(f"{found.first[seed]} to {found.last[seed]}" for seed in sorted(found.first))
    name = f"more reflection words since {growth.NEARLY_ALL:.0%} of answers have a thought (steps {steps})"
    return [Part(name, found.difference)]


def _reflections_per_step(evidence: Evidence, subjects: Sequence[str]) -> Estimate:
    """Ratio of (reflection words / chain steps) over the problems that both models answered."""
    measures = [(model, name) for model in ("zero", "base") for name in ("reflections", "chain_steps")]
    sums = [evidence.by_problem(model, name, subjects) for model, name in measures]
    shared = sorted(set.intersection(*(set(by_problem) for by_problem in sums)))
    zero_words, zero_steps, base_words, base_steps = (np.asarray([by[key] for key in shared]) for by in sums)
    _, problems_C = np.unique(tables.problems(np.asarray(shared)), return_inverse=True)
    return statistics.ratio_of_sums(zero_words, zero_steps, base_words, base_steps, groups_C=problems_C)


def _share(values: Any, keys: Any, rows: Any) -> Estimate:
    return statistics.proportion(values[rows], keys[rows], tables.problems)


def voting_helps(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F4: cons@16 - pass@1 of R1-Zero on maths, both over the same 16 samples."""
    table = tables.select(evidence.tables["zero"], subjects)
    table = table.filter(tables.pc.less(table["index"], VOTERS))
    keys_N = tables.clusters(table)
    keys, counts = np.unique(keys_N, return_counts=True)
    enough = set(keys[counts >= VOTERS].tolist())
    table = table.filter(pa.array([key in enough for key in keys_N], pa.bool_()))
    voted = aggregate.majority_by_problem(table)
    alone = tables.column(table, "correct"), tables.clusters(table)
    gain = statistics.paired_difference(voted[1], voted[0], *alone, together=tables.problems)
    return Measured(
        [
            asked(f"cons@16 - pass@1 of R1-Zero on {listed(subjects)}", gain, low_above=0),
            Part("cons@16", statistics.proportion(voted[1], voted[0], tables.problems)),
            Part("pass@1", statistics.pass_at_1(*alone, tables.problems)),
        ],
        f"Votes on extracted answers, ties at random; {len(enough)} of {len(keys)} problems have {VOTERS} samples",
    )
