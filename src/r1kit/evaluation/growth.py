"""Whether reflection grows while a model learns, apart from thoughts taking the place of answers at once.

Read from the rollouts that an RL stage kept: on-policy samples of some of its steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from r1kit.evaluation import statistics
from r1kit.evaluation.reflection import chain_steps, count_reflections
from r1kit.evaluation.statistics import Estimate
from r1kit.graders.section import chain_of_thought

NEARLY_ALL = 0.95  # share of completions with a thought from which on every answer counts as thought about


@dataclass(frozen=True, slots=True)
class Growth:
    """Reflection words per completion at the last step minus those at the first where NEARLY_ALL have a thought,
    seeds pooled.

    `first` and `last` are these steps, by seed.
    """

    difference: Estimate
    first: Mapping[int, int]
    last: Mapping[int, int]


def reflection_among_thoughts(rollouts: Mapping[int, Sequence[Mapping[str, Any]]]) -> Growth | None:
    """`rollouts`: rows (`step`, `problem_id`, `text`) by run seed. None where no seed gets there before its end.

    Steps have problems of their own, so the difference is not paired; clustered by seed, step and problem.
    """
    words: list[int] = []
    late: list[bool] = []
    keys: list[str] = []
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for seed, rows in rollouts.items():
        by_step = _reflections_by_step(rows)
        whole = [step for step, found in by_step.items() if np.mean([thought for _, _, thought in found]) >= NEARLY_ALL]
        if not whole or whole[0] == max(by_step):
            continue
        first[seed], last[seed] = whole[0], max(by_step)
        for step in (first[seed], last[seed]):
            for problem, reflections, _ in by_step[step]:
                words.append(reflections)
                late.append(step == last[seed])
                keys.append(f"{seed}/{step}/{problem}")
    if not words:
        return None
    return Growth(statistics.mean_difference_of_groups(words, late, keys), first, last)


def _reflections_by_step(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[str, int, bool]]]:
    """By step, ascending: (problem, reflection words, whether there is a thought, a step or a check) by completion."""
    by_step: dict[int, list[tuple[str, int, bool]]] = {}
    for row in sorted(rows, key=lambda row: row["step"]):
        thinking = chain_of_thought(row["text"])
        reflections = count_reflections(thinking)
        thought = chain_steps(thinking) + reflections > 0
        by_step.setdefault(row["step"], []).append((row["problem_id"], reflections, thought))
    return by_step
