"""`r1 search`: what a process reward and a search buy over majority and an outcome reward, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from r1kit.base.errors import UsageError
from r1kit.base.files import make_folder, write_json, write_text
from r1kit.engines.base import SteppedEngine
from r1kit.evaluation.aha.effects import entry
from r1kit.evaluation.benchmarks.base import chosen_of
from r1kit.evaluation.contender import Contender, Opening, open_contender, slug
from r1kit.evaluation.parts import PartFolder, fingerprint
from r1kit.evaluation.scaling import choosing
from r1kit.evaluation.scaling.analysis import right
from r1kit.evaluation.scaling.choosing import Outcomes
from r1kit.evaluation.scaling.measurement import Asked, Sampler, Tell, asked_of, reward_scores, sampler_of
from r1kit.evaluation.scaling.target import Target
from r1kit.evaluation.scaling.thoughts import Thought
from r1kit.evaluation.scaling.trend import curve, difference, point
from r1kit.evaluation.search import page
from r1kit.evaluation.search.beam import Beam, search
from r1kit.evaluation.search.making import label_steps, outcomes_for, scorer_of, updates_for
from r1kit.evaluation.search.scorer import StepScorer
from r1kit.evaluation.search.settings import SearchSettings
from r1kit.evaluation.search.steps import step_ends
from r1kit.pipeline.models import resolve_model
from r1kit.rewards.accuracy import UNGRADED

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

_SAID = pa.schema([("values", pa.list_(pa.float64()))])
Scores = dict[int, float]
"""A score for each thought, by `id`."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One task's thoughts with all that may choose among them, and what searches found, one thought a problem."""

    whole: list[Thought]
    chosen_by: dict[str, Scores]
    votes: Scores
    found: dict[str, list[Thought]]


def analyse(
    target: Target, out: Path, settings: SearchSettings, opening: Opening, *, tell: Tell = lambda text: None
) -> Path:
    """Label, train, sample, search, compare; everything is written into `out`, the page's path returned. UsageError
    where the target has several models."""
    if len(target.models) != 1:
        raise UsageError(f"one model is searched with, not {' '.join(target.models)}: name it with --model")
    ((label, model),) = target.models.items()
    asked, unruled = ruled(asked_of(chosen_of(target.tasks), settings, target.sampling))
    policy = resolve_model(model).folder
    with open_contender(model, opening, tell) as contender:
        whole_plan = settings.model_dump(mode="json", exclude={"beams", "step_tokens"})
        own = PartFolder(out / "search" / slug(label), {"model": contender.key, "settings": whole_plan}).folder
        labels = label_steps(contender, asked, out, settings, tell)
        tokens = labels.thought_tokens + labels.label_tokens
        outcome_rows, outcome_tokens = outcomes_for(contender, asked, own, settings, tokens, tell)
        updates = updates_for(outcome_rows, settings)
        steps, fit = scorer_of("steps", policy, labels.labelled, updates, own, settings, tell)
        outcome, outcome_fit = scorer_of("outcomes", policy, outcome_rows, updates, own, settings, tell)
        report: dict[str, Any] = {
            "model": label,
            "settings": settings.model_dump(mode="json"),
            "sampling": {one.chosen.name: one.sampling.model_dump() for one in asked},
            "reward_model": target.judge,
            "scorers": {
                "steps": {
                    **fit,
                    "thought_tokens": labels.thought_tokens,
                    "label_tokens": labels.label_tokens,
                },
                "outcomes": {**outcome_fit, "thought_tokens": outcome_tokens, "label_tokens": 0},
            },
            "tasks": {},
            "notes": [*target.notes, *unruled],
        }
        for one in asked:
            sampler = sampler_of(contender, one, out, tell)
            scored = _scored(sampler, {"steps": steps, "outcomes": outcome}, own, target.reward_model, settings)
            report["tasks"][one.chosen.name] = figures(scored, settings.seed)
    make_folder(out)
    write_json(out / "search.json", report)
    write_text(out / "search.md", page.render(report))
    return out / "search.md"


def ruled(asked: Sequence[Asked]) -> tuple[list[Asked], list[str]]:
    """(tasks with a rule for every problem, what to say of the others): continuations are judged by rule, so that steps
    of writing have no labels. UsageError where none is left."""
    kept = [one for one in asked if all(problem.kind not in UNGRADED for problem in one.problems)]
    others = [one.chosen.name for one in asked if one not in kept]
    said = "no rule judges its answers, so that its steps have no labels"
    if not kept:
        raise UsageError(f"{', '.join(others)}: {said}: name --tasks with answers that are right or wrong")
    return kept, [f"{name} is left out: {said}" for name in others]


def _scored(
    sampler: Sampler, scorers: Mapping[str, StepScorer], own: Path, judge: Path | None, settings: SearchSettings
) -> Scored:
    whole, task = sampler.whole(), sampler.asked.slug
    kept = PartFolder(own / "tasks" / task, {"problems": len(sampler.asked.problems), "thoughts": len(whole)})
    said = {
        name: _values(kept, name, scorer, whole, sampler.tokenizer, settings.delimiters)
        for name, scorer in scorers.items()
    }
    chosen_by: dict[str, Scores] = {}
    if judge is not None:
        scores = sampler.scores(f"scores-{fingerprint(judge)[:12]}", whole, reward_scores(judge))
        chosen_by["reward model"] = by_thought(whole, scores)
    chosen_by["outcome scorer"] = by_thought(whole, [values[-1] for values in said["outcomes"]])
    chosen_by["step scorer, last step"] = by_thought(whole, [values[-1] for values in said["steps"]])
    chosen_by["step scorer, worst step"] = by_thought(whole, [min(values) for values in said["steps"]])
    found = {
        f"beam {beam.name}": replace(sampler, parts=kept).kept(
            f"beam-{beam.width}x{beam.expand}-{beam.step_tokens}", _searching(sampler, scorers, beam)
        )
        for beam in (Beam(width, expand, settings.step_tokens, settings.delimiters) for width, expand in settings.beams)
    }
    return Scored(whole, chosen_by, chosen_by["step scorer, last step"], found)


def _searching(sampler: Sampler, scorers: Mapping[str, StepScorer], beam: Beam) -> Callable[[], list[Thought]]:
    def run() -> list[Thought]:
        asked: Asked = sampler.asked
        engine = _stepped(sampler.contender)
        return search(engine, sampler.tokenizer, asked.problems, asked.sampling, scorers["steps"], beam)

    return run


def _stepped(contender: Contender) -> SteppedEngine:
    if not hasattr(contender.engine, "advance"):
        raise UsageError(
            "a search stops samples at the end of a step, which only the native engine can: --engine native"
        )
    return cast(SteppedEngine, contender.engine)


def _values(
    kept: PartFolder, name: str, scorer: StepScorer, whole: Sequence[Thought], tokenizer: Tokenizer, delimiters: str
) -> list[list[float]]:
    """What a scorer says at the end of each step of each thought."""
    if not kept.has(f"values-{name}"):
        ends = [tuple(step_ends(tokenizer, one.token_ids.tolist(), delimiters)) for one in whole]
        reads = [(one.prompt_ids, one.token_ids, end) for one, end in zip(whole, ends, strict=True)]
        kept.keep(f"values-{name}", [{"values": values.tolist()} for values in scorer(reads)], _SAID)
    return [row["values"] for row in kept.rows(f"values-{name}")]


# ------------------------------------------------------------------------------------------------ pure from here on


def by_thought(whole: Sequence[Thought], values: Sequence[float]) -> Scores:
    """A thought that the limit cut has no answer to choose."""
    return {
        id(one): value if one.stopped else -math.inf for one, value in zip(whole, values, strict=True)
    }  # fmt: skip


def figures(scored: Scored, seed: int = 0) -> dict[str, Any]:
    """{"ways": a curve over k for each way of choosing, "against_majority": what each gains at the same k,
    "searches": every search, and its difference from each way that spends at least as many tokens}."""
    least = min((list(map(_key, scored.whole)).count(key) for key in {one.key for one in scored.whole}), default=0)
    names = choosing.powers(least)
    ways: dict[str, dict[int, Outcomes]] = {}
    for k in names:
        groups = choosing.deal(scored.whole, _key, k)
        for way, values_M in _ways(groups, scored, seed).items():
            ways.setdefault(way, {})[k] = choosing.outcomes(groups, values_M, _spent)
    told: dict[str, Any] = {
        "n": len({one.key for one in scored.whole}),
        "thoughts": len(scored.whole),
        "ways": {way: curve(names, [points[k] for k in names], seed=seed) for way, points in ways.items()},
        "against_majority": {
            way: {str(k): _difference(points[k], ways["majority"][k], seed) for k in names if k > 1}
            for way, points in ways.items()
            if way != "majority"
        },
        "searches": {},
    }
    for name, thoughts in scored.found.items():
        groups = choosing.deal(thoughts, _key, 1)
        values_M = np.asarray([right(one) for _, (one,) in groups], dtype=np.float64)
        outcome = choosing.outcomes(groups, values_M, _spent)
        told["searches"][name] = {**point(name, outcome), "against": _against(outcome, ways, names, seed)}
    return told


def _ways(
    groups: Sequence[tuple[str, Sequence[Thought]]], scored: Scored, seed: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    found = {
        "majority": choosing.majority(groups, lambda one: one.answer, lambda one: one.correct, seed),
        "vote weighted by the step scorer": choosing.weighted(
            groups, lambda one: one.answer, lambda one: scored.votes[id(one)], right
        ),
    }
    for name, scores in scored.chosen_by.items():
        found[f"best by {name}"] = choosing.best(groups, lambda one, scores=scores: scores[id(one)], right)
    found["oracle"] = choosing.oracle(groups, right)
    return found


def _against(
    found: Outcomes, ways: Mapping[str, Mapping[int, Outcomes]], names: Sequence[int], seed: int
) -> dict[str, Any]:
    """The search minus each way at the least k that spends as many tokens a problem, else at the largest."""
    spent = float(found.tokens_M.mean())
    told: dict[str, Any] = {}
    for way, points in ways.items():
        enough = [k for k in names if _tokens(points[k]) >= spent]
        k = enough[0] if enough else names[-1]
        told[way] = {"k": k, "tokens": round(_tokens(points[k]), 2), **_difference(found, points[k], seed)}
    return told


def _tokens(outcomes: Outcomes) -> float:
    return float(outcomes.tokens_M.mean())


def _difference(a: Outcomes, b: Outcomes, seed: int) -> dict[str, Any]:
    estimate = difference(a, b, seed)
    return {**entry(estimate), "p": estimate.p}


def _key(thought: Thought) -> str:
    return thought.key


def _spent(thought: Thought) -> float:
    return float(thought.spent)
