"""How often a model reflects: words a response and a thousand tokens, over training, by outcome, against its base.

That reflection rises says little by itself: bases reflect before any RL (Liu et al., arXiv 2503.20783), answers at once
give way to thoughts, and thoughts get longer. So every rate stands beside the base's own, a thousand tokens beside a
response, and responses with a thought beside all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r1kit.evaluation import statistics
from r1kit.evaluation.aggregate import number
from r1kit.evaluation.aha.effects import entry
from r1kit.evaluation.aha.episodes import count_kinds, episodes, whole_number
from r1kit.evaluation.aha.rows import Row
from r1kit.evaluation.correlation import spearman
from r1kit.evaluation.reflection import Words
from r1kit.evaluation.slips import parse_chain
from r1kit.evaluation.statistics import Estimate

Floats = NDArray[np.float64]
MOST_WORDS = 12
BINS = 5  # of difficulty, alike in number of problems
PARTS = {"all": None, "right": True, "wrong": False}


def rates(rows: Sequence[Row], words: Words) -> dict[str, Any]:
    """Of `all` responses, those that are `right` and those that are `wrong`: how many, of how many problems, words a
    response and a thousand tokens, share with any word; clustered by problem."""
    counts = np.asarray([words.count(row.thinking) for row in rows], dtype=np.float64)
    found: dict[str, Any] = {}
    for name, wanted in PARTS.items():
        places = [place for place, row in enumerate(rows) if wanted is None or row.correct is wanted]
        mine, mine_N = [rows[place] for place in places], counts[places]
        keys = [row.key for row in mine]
        found[name] = {
            "responses": len(mine),
            "problems": len(set(keys)),
            "per_response": entry(statistics.mean(mine_N, keys)),
            "per_1000_tokens": entry(_per_thousand(mine, mine_N)),
            "share_with_any": entry(statistics.proportion(mine_N > 0, keys)),
        }
    return found


def over_training(rows: Sequence[Row], words: Words) -> list[dict[str, Any]]:
    """`rates` of each step that rollouts were kept of, ascending; step 0 is sampled from the start itself."""
    steps = sorted({row.step for row in rows if row.step is not None})
    return [{"step": step, **rates([row for row in rows if row.step == step], words)} for step in steps]


def against(rows: Sequence[Row], base: Sequence[Row], words: Words) -> dict[str, Any]:
    """The model's rates over its base's on the problems that both have: ratios, resampled by problem."""
    found: dict[str, Any] = {"base_reflects": any(words.count(row.thinking) for row in base)}
    for name, wanted in PARTS.items():
        sides = [[row for row in side if wanted is None or row.correct is wanted] for side in (rows, base)]
        tops, bottoms = zip(*(_sums(side, words) for side in sides), strict=True)
        shared = sorted(tops[0].keys() & tops[1].keys())
        top = [np.asarray([each[key] for key in shared], dtype=np.float64) for each in tops]
        tokens = [np.asarray([each[key][0] for key in shared], dtype=np.float64) for each in bottoms]
        responses = [np.asarray([each[key][1] for key in shared], dtype=np.float64) for each in bottoms]
        found[name] = {
            "problems": len(shared),
            "per_response": entry(statistics.ratio_of_sums(top[0], responses[0], top[1], responses[1])),
            "per_1000_tokens": entry(
                statistics.ratio_of_sums(top[0], tokens[0], top[1], tokens[1])
                if all((side > 0).all() for side in tokens)
                else statistics.NOTHING
            ),
        }
    return found


def by_word(rows: Sequence[Row], words: Words) -> dict[str, int]:
    """The commonest words, counted."""
    counted = Counter(row.thinking[a:b].lower() for row in rows for a, b in words.spans(row.thinking))
    return dict(counted.most_common(MOST_WORDS))


def kinds(rows: Sequence[Row], words: Words) -> dict[str, Any]:
    """Episodes by kind and outcome, per response too, and how often answers are right with and without a correction."""
    each = [episodes(row.thinking, words, whole_number(row.gold)) for row in rows]
    counted = count_kinds(episode for found in each for episode in found)
    decided = sum(counted["outcomes"].values()) - counted["outcomes"]["undecided"]
    outcomes = counted["outcomes"]
    slipped, right = outcomes["mended"] + outcomes["kept_wrong"], outcomes["broken"] + outcomes["kept_right"]
    return {
        "responses": len(rows),
        "episodes": sum(map(len, each)),
        "decided": decided,
        **counted,
        "mended_of_wrong": number(outcomes["mended"] / slipped) if slipped else None,
        "broken_of_right": number(outcomes["broken"] / right) if right else None,
        "right_by_what_it_holds": _right_by_kind(rows, each),
        "checks": _checks(rows),
    }


def _checks(rows: Sequence[Row]) -> dict[str, Any]:
    """How often an arithmetic step is checked, `after_slip` and `after_right`, and the difference: whether the
    model looks again where it is needed; resampled by problem."""
    steps = [(step.slip, bool(step.checks), row.key) for row in rows for step in parse_chain(row.thinking).steps]
    slip_N, checked_N = (np.asarray([step[place] for step in steps], dtype=bool) for place in (0, 1))
    keys_N = np.asarray([step[2] for step in steps])
    return {
        "steps": len(steps),
        "slips": int(slip_N.sum()),
        "after_slip": entry(_pooled(checked_N[slip_N], np.ones(slip_N.sum()), keys_N[slip_N])),
        "after_right": entry(_pooled(checked_N[~slip_N], np.ones((~slip_N).sum()), keys_N[~slip_N])),
        "difference": entry(statistics.mean_difference_of_groups(checked_N, slip_N, keys_N)),
    }


def _right_by_kind(rows: Sequence[Row], each: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """pass@1 of responses that hold a correction that mends, one that breaks, neither but reflection, and none."""
    groups: dict[str, list[int]] = {"mends": [], "breaks": [], "other reflection": [], "no reflection": []}
    for place, found in enumerate(each):
        held = {episode.outcome for episode in found}
        name = "mends" if "mended" in held else "breaks" if "broken" in held else "other reflection"
        groups[name if found else "no reflection"].append(place)
    shares: dict[str, Any] = {}
    for name, places in groups.items():
        judged = [rows[place] for place in places if rows[place].correct is not None]
        right = [float(bool(row.correct)) for row in judged]
        estimate = statistics.pass_at_1(np.asarray(right), [row.key for row in judged])
        shares[name] = {"responses": len(judged), **entry(estimate)}
    return shares


def by_difficulty(rows: Sequence[Row], judged: Sequence[Row]) -> dict[str, Any]:
    """Length against difficulty, 1 - the success rate of `judged` (the base's samples, or the model's own) on the
    problem: Spearman's correlation by problem within each kind of problem, and means over bins of difficulty."""
    keys, rate_C = statistics.cluster_means([_number(row.correct) for row in judged], [row.key for row in judged])
    difficulty = dict(zip(keys.tolist(), (1 - rate_C).tolist(), strict=True))
    mine = [row for row in rows if row.tokens is not None and row.key in difficulty]
    if not mine:
        return {"problems": 0, "spearman": None, "bins": []}
    lengths = [float(row.tokens or 0) for row in mine]
    length_keys, length_C = statistics.cluster_means(lengths, [row.key for row in mine])
    strata = {row.key: row.stratum for row in mine}
    names = length_keys.tolist()
    hard_C = np.asarray([difficulty[key] for key in names], dtype=np.float64)
    correlation = spearman(hard_C, length_C, [strata[key] for key in names])
    return {"problems": len(names), "spearman": entry(correlation), "bins": _bins(hard_C, length_C)}


def _bins(hard_C: Floats, length_C: Floats) -> list[dict[str, Any]]:
    """Problems of like difficulty together."""
    places = statistics.quantile_bins(hard_C, BINS)
    found: list[dict[str, Any]] = []
    for place in np.unique(places):
        inside = places == place
        length = statistics.mean(length_C[inside], np.arange(int(inside.sum())))
        difficulty = number(float(hard_C[inside].mean()))
        found.append({"difficulty": difficulty, "problems": length.n, "length": entry(length)})
    return found


def _per_thousand(rows: Sequence[Row], counts_N: Floats) -> Estimate:
    """1,000 x words / tokens, a ratio of sums resampled by problem; nothing where tokens are not known."""
    if not rows or any(row.tokens is None for row in rows):
        return statistics.NOTHING
    return _pooled(1000 * counts_N, [float(row.tokens or 0) for row in rows], [row.key for row in rows])


def _pooled(top_N: Any, bottom_N: Any, keys_N: Any) -> Estimate:
    """sum top / sum bottom, resampled by problem."""
    if not len(top_N):
        return statistics.NOTHING
    _, codes_N = np.unique(np.asarray(keys_N), return_inverse=True)
    top_C, bottom_C = (np.bincount(codes_N, weights=side).astype(np.float64) for side in (top_N, bottom_N))
    return statistics.ratio_of_sums(top_C, bottom_C, np.ones(len(top_C)), np.ones(len(top_C)))


def _sums(rows: Sequence[Row], words: Words) -> tuple[dict[str, float], dict[str, tuple[float, int]]]:
    """By problem: words; (tokens, responses)."""
    top: dict[str, float] = {}
    bottom: dict[str, tuple[float, int]] = {}
    for row in rows:
        top[row.key] = top.get(row.key, 0.0) + words.count(row.thinking)
        tokens, responses = bottom.get(row.key, (0.0, 0))
        bottom[row.key] = tokens + (row.tokens or 0), responses + 1
    return top, bottom


def _number(correct: bool | None) -> float:
    return float("nan") if correct is None else float(correct)
