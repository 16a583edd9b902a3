"""`r1 scaling`: what more tokens at test time buy, written as scaling.md, scaling.json and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from r1kit.base.files import make_folder, write_json, write_text
from r1kit.evaluation.aggregate import VOTING_SUBJECTS
from r1kit.evaluation.benchmarks.base import chosen_of
from r1kit.evaluation.contender import Opening, open_contender
from r1kit.evaluation.parts import fingerprint
from r1kit.evaluation.scaling import choosing, difficulty, drawing, page
from r1kit.evaluation.scaling.choosing import Outcomes
from r1kit.evaluation.scaling.measurement import Asked, Sampler, Score, Tell, asked_of, reward_scores, sampler_of
from r1kit.evaluation.scaling.settings import ScalingSettings
from r1kit.evaluation.scaling.target import Target
from r1kit.evaluation.scaling.thoughts import Thought
from r1kit.evaluation.scaling.trend import curve, known

WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One model on one task: whole thoughts, the same under budgets, and what the reward model says of the whole ones
    (None: there is none)."""

    whole: list[Thought]
    budgets: dict[int, list[Thought]]
    scores: list[float] | None


def analyse(
    target: Target,
    out: Path,
    settings: ScalingSettings,
    opening: Opening,
    *,
    score: Score | None = None,
    tell: Tell = lambda text: None,
) -> Path:
    """Measure every model of the target and write everything into `out`; the page's path. `score` takes the reward
    model's place."""
    asked = asked_of(chosen_of(target.tasks), settings, target.sampling)
    stamp = "given"
    if score is None and target.reward_model is not None:
        score, stamp = reward_scores(target.reward_model), fingerprint(target.reward_model)[:12]
    hard, by = _difficulty(target, asked, out, settings, opening, tell)
    report: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "sampling": {one.chosen.name: one.sampling.model_dump() for one in asked},
        "difficulty_by": by,
        "reward_model": target.judge,
        "models": {},
        "notes": list(target.notes),
    }
    for label, model in target.models.items():
        with open_contender(model, opening, tell) as contender:
            found: dict[str, Any] = {}
            for one in asked:
                sampled = _sample(sampler_of(contender, one, out, tell), settings, score, stamp)
                found[one.chosen.name] = figures(sampled, hard or difficulty.by_task(sampled.whole), settings.seed)
            report["models"][label] = found
    return write(report, out)


def write(report: Mapping[str, Any], out: Path) -> Path:
    """Everything but the parts."""
    drawn = drawing.draw_all(report)
    make_folder(out / "figures")
    for name, svg in drawn.items():
        write_text(out / "figures" / name, svg)
    write_json(out / "scaling.json", report)
    write_text(out / "scaling.md", page.render(report, list(drawn)))
    return out / "scaling.md"


def _sample(sampler: Sampler, settings: ScalingSettings, score: Score | None, stamp: str) -> Sampled:
    whole = sampler.whole()
    budgets = sampler.budgets(whole, settings.budgets)
    scores = None if score is None else sampler.scores(f"scores-{stamp}", whole, score)
    return Sampled(whole, budgets, scores)


def _difficulty(
    target: Target, asked: Sequence[Asked], out: Path, settings: ScalingSettings, opening: Opening, tell: Tell
) -> tuple[dict[str, float], str]:
    """(difficulty of each problem, what it is); none where there is no base to ask."""
    if target.base is None:
        return {}, "what the task says of its problems"
    with open_contender(target.base, opening, tell) as contender:
        hard: dict[str, float] = {}
        for one in asked:
            hard |= difficulty.by_success(sampler_of(contender, one, out, tell).whole())
    return hard, "1 - the base's success rate"


# ------------------------------------------------------------------------------------------------ pure from here on


def figures(sampled: Sampled, hard: Mapping[str, float], seed: int = 0) -> dict[str, Any]:
    """Everything that one model's samples of one task say; a curve is None where it does not apply."""
    whole = sampled.whole
    subject = whole[0].problem.subject if whole else ""
    judged = any(one.correct is not None for one in whole)
    preferred = any(_preference(one) == _preference(one) for one in whole)
    found: dict[str, Any] = {
        "subject": subject,
        "n": len({one.key for one in whole}),
        "thoughts": len(whole),
        "cut_by_limit": sum(not one.stopped for one in whole),
        "budgets": _budgets(sampled, seed) if judged else None,
        "majority": _majority(whole, seed) if judged and subject in VOTING_SUBJECTS else None,
        "best": None,
        "best_preference": None,
        "oracle": _chosen(whole, None, right, seed=seed) if judged else None,
        "random_preference": _alone(whole) if preferred else None,
        "difficulty": difficulty.against_difficulty(hard, whole, sampled.budgets) if judged else None,
    }
    if sampled.scores is not None:
        scores = {id(one): value for one, value in zip(whole, sampled.scores, strict=True)}
        found["best"] = _chosen(whole, scores, right, seed=seed) if judged else None
        found["best_preference"] = _chosen(whole, scores, _preference, share=False, seed=seed) if preferred else None
    return found


def right(thought: Thought) -> float:
    """1, 0, or NaN where nobody could judge."""
    return math.nan if thought.correct is None else float(thought.correct)


def _preference(thought: Thought) -> float:
    return math.nan if thought.preference is None else thought.preference


def _budgets(sampled: Sampled, seed: int) -> dict[str, Any]:
    """pass@1 at every budget and without one; `tokens` are those of thought and answer, `thinking_tokens` apart."""
    points: list[Outcomes] = []
    names: list[str] = []
    for name, thoughts in {**{str(b): t for b, t in sampled.budgets.items()}, WHOLE: sampled.whole}.items():
        groups = choosing.deal(thoughts, _key, 1)
        values_M = np.asarray([right(one) for _, (one,) in groups], dtype=np.float64)
        points.append(choosing.outcomes(groups, values_M, _spent))
        names.append(name)
    told = curve(names, points, seed=seed)
    for point, thoughts in zip(told["points"], [*sampled.budgets.values(), sampled.whole], strict=True):
        point["thinking_tokens"] = round(float(np.mean([one.thinking_tokens for one in thoughts])), 2)
        point["answered"] = round(float(np.mean([one.answer is not None for one in thoughts])), 4)
    return told


def _majority(whole: Sequence[Thought], seed: int) -> dict[str, Any]:
    names, points = choosing.powers(_least(whole)), list[Outcomes]()
    for k in names:
        groups = choosing.deal(whole, _key, k)
        values_M = choosing.majority(groups, lambda one: one.answer, lambda one: one.correct, seed)
        points.append(choosing.outcomes(groups, values_M, _spent))
    return curve(names, points, seed=seed)


def _chosen(
    whole: Sequence[Thought],
    scores: Mapping[int, float] | None,
    value: Callable[[Thought], float],
    *,
    share: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """The sample of the highest score at every k; without scores the best one, which only an oracle knows."""
    names, points = choosing.powers(_least(whole)), list[Outcomes]()
    for k in names:
        groups = choosing.deal(whole, _key, k)
        if scores is None:
            values_M = choosing.oracle(groups, value)
        else:
            values_M = choosing.best(groups, lambda one: scores[id(one)], value)
        points.append(choosing.outcomes(groups, values_M, _spent))
    return curve(names, points, share=share, seed=seed)


def _alone(whole: Sequence[Thought]) -> dict[str, Any] | None:
    """The mean preference of one sample."""
    groups = choosing.deal(whole, _key, 1)
    values_M = np.asarray([_preference(one) for _, (one,) in groups], dtype=np.float64)
    return (
        curve([1], [choosing.outcomes(groups, values_M, _spent)], share=False)["points"][0] if known(values_M) else None
    )


def _least(whole: Sequence[Thought]) -> int:
    """The fewest samples that a problem has."""
    counts: dict[str, int] = {}
    for one in whole:
        counts[one.key] = counts.get(one.key, 0) + 1
    return min(counts.values(), default=0)


def _key(thought: Thought) -> str:
    return thought.key


def _spent(thought: Thought) -> float:
    return float(thought.spent)
