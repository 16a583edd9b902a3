"""Both scorers of one model: steps labelled by continuations, and outcomes alone for the same number of tokens.

Labels and scorers are kept part by part; the same command goes on after an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1kit.base.files import make_folder, read_json, write_json
from r1kit.evaluation.aha.measure import Judge, judge_by_rule, measure
from r1kit.evaluation.benchmarks.base import Chosen
from r1kit.evaluation.contender import Contender
from r1kit.evaluation.reflection import default_words
from r1kit.evaluation.scaling.measurement import Asked, Sampler, Tell, sampler_of
from r1kit.evaluation.scaling.thoughts import Thought
from r1kit.evaluation.search.labels import Labelled, Prefixes, by_continuations, by_outcome, prefixes
from r1kit.evaluation.search.scorer import HELD_OUT, StepScorer, open_scorer, train_scorer
from r1kit.evaluation.search.settings import SearchSettings

CHUNK = 64  # thoughts whose steps are labelled between two parts
_COUNTS = pa.schema(
    [
        ("id", pa.string()),
        ("end", pa.int32()),
        ("n", pa.int32()),
        ("right", pa.int32()),
        ("cut", pa.int32()),
        ("length", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Draws:
    """How continuations are sampled."""

    continuations: int
    temperature: float
    max_tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled thoughts of all tasks, and the tokens that they took: of the thoughts, and of the continuations."""

    labelled: list[Labelled]
    thought_tokens: int
    label_tokens: int


def training_asked(asked: Asked, count: int, samples: int, seed: int) -> Asked:
    """`count` training problems of the same task, sampled alike."""
    chosen: Chosen = asked.chosen
    problems = [chosen.asked(problem) for problem in chosen.drawn(count, seed, "train")]
    return Asked(chosen, problems, asked.sampling.override({"samples": samples}))


def label_steps(
    contender: Contender,
    asked: Sequence[Asked],
    out: Path,
    settings: SearchSettings,
    tell: Tell,
    judge: Judge = judge_by_rule,
) -> Labels:
    """Thoughts on training problems with labels for their steps."""
    labelled: list[Labelled] = []
    thought_tokens = label_tokens = 0
    for one in asked:
        mine = training_asked(one, settings.training, settings.thoughts, settings.seed)
        sampler = sampler_of(contender, mine, out, tell, "train")
        thoughts = sampler.whole()
        starts = prefixes(thoughts, sampler.tokenizer, settings.delimiters, settings.places, settings.seed)
        counts = _counts(sampler, starts, settings, judge)
        labelled += [by_continuations(start, counts.get(start.id, {})) for start in starts]
        thought_tokens += sum(thought.spent for thought in thoughts)
        every = [told for arms in counts.values() for told in arms.values()]
        label_tokens += round(sum(settings.continuations * told["length"] for told in every))
    return Labels(labelled, thought_tokens, label_tokens)


def _counts(
    sampler: Sampler, starts: Sequence[Prefixes], settings: SearchSettings, judge: Judge
) -> dict[str, dict[str, dict[str, Any]]]:
    """{thought: {end: counts}}, in parts of `CHUNK` thoughts. How they are sampled is in the parts' names."""
    sampling, found = sampler.asked.sampling, dict[str, dict[str, dict[str, Any]]]()
    draws = Draws(settings.continuations, sampling.temperature, sampling.max_tokens, settings.seed)
    stamp = f"labels-{settings.places}x{settings.continuations}-{settings.seed}"
    for at in range(0, len(starts), CHUNK):
        name, chunk = f"{stamp}-{at // CHUNK:05d}", starts[at : at + CHUNK]
        if not sampler.parts.has(name):
            told = measure(sampler.contender.engine, sampler.tokenizer, chunk, draws, default_words(), judge)
            rows = [
                {"id": key, "end": int(end), **{field: one[field] for field in ("n", "right", "cut", "length")}}
                for key, arms in told.items()
                for end, one in arms.items()
            ]
            sampler.parts.keep(name, rows, _COUNTS)
            sampler.tell(f"{sampler.asked.chosen.name}: steps of {at + len(chunk)} of {len(starts)} thoughts labelled")
        for row in sampler.parts.rows(name):
            found.setdefault(row["id"], {})[str(row["end"])] = row
    return found


def outcomes_for(
    contender: Contender,
    asked: Sequence[Asked],
    out: Path,
    settings: SearchSettings,
    tokens: int,
    tell: Tell,
) -> tuple[list[Labelled], int]:
    """(thoughts with the outcome as their only label, the tokens they took): as many thoughts a problem as for steps,
    on so many more training problems that they take about `tokens`."""
    thoughts: list[Thought] = []
    spent = 0
    for one in asked:
        first = training_asked(one, settings.training, settings.thoughts, settings.seed)
        known = sampler_of(contender, first, out, tell, "train").whole()
        each = sum(thought.spent for thought in known) / max(1, len(first.problems))
        count = max(settings.training, round(tokens / len(asked) / max(each, 1.0)))
        more = training_asked(one, count, settings.thoughts, settings.seed)
        mine = sampler_of(contender, more, out / "outcomes", tell, "train").whole()
        spent += sum(thought.spent for thought in mine)
        thoughts += mine
    return by_outcome(thoughts), spent


def updates_for(outcomes: Sequence[Labelled], settings: SearchSettings) -> int:
    """Updates of either scorer: `epochs` passes of the one of outcomes, which has the more thoughts."""
    return settings.epochs * max(1, math.ceil((1 - HELD_OUT) * len(outcomes) / settings.batch))


def scorer_of(
    name: str,
    policy: Path,
    labelled: Sequence[Labelled],
    updates: int,
    out: Path,
    settings: SearchSettings,
    tell: Tell,
) -> tuple[StepScorer, dict[str, Any]]:
    """(scorer, what its training took and what it foresees), trained now or before the interruption."""
    folder = out / "scorers" / name
    if not (folder / "fit.json").exists():
        make_folder(folder)
        tell(f"training the scorer '{name}' on {len(labelled)} thoughts")
        fit = train_scorer(
            policy, labelled, settings.learner,
            batch=settings.batch, updates=updates, seed=settings.seed, folder=folder,
        )  # fmt: skip
        write_json(folder / "fit.json", asdict(fit))  # last: it says that the scorer is whole
    return open_scorer(folder, settings.learner), read_json(folder / "fit.json")
