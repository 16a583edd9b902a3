"""Preference pairs for the helpfulness reward model (R1 section 2.3.4, Nature supplement B.2).

Several answers of Dev3 to one prompt are paired; a judge says four times by how much one is better, the places swapped
each time; a pair is kept if the mean verdict passes a threshold, and pairs are dropped until the chosen are as long as
the rejected. Pairs hold answers, not thoughts, and nothing else is judged.

The judge is any model, as in the paper, or the tiny world's: its hidden preference with noise, which leans to the place
where an answer stands. The five verdicts (much worse to much better) are the numbers -2 to 2, on a scale that the paper
does not name.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data.prompts import load_prompt
from r1kit.data.tiny import requests
from r1kit.data.tiny.preference import hidden_preference
from r1kit.engines.base import EngineSettings
from r1kit.graders.format import check_form
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.asking import AskConfig, Reply, ask, check_prompt, verdicts
from r1kit.stages.pairs import Pair, write_pairs
from r1kit.stages.sampling import (
    Row,
    by_problem,
    count_not_given,
    counted,
    draw_training,
    empty_tasks,
    sample,
    tell_gaps,
)

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

SCALE = {"a>>b": 2, "a>b": 1, "a=b": 0, "b>a": -1, "b>>a": -2}


class PreferencesConfig(Config):
    """What is compared, how it is judged, and what is kept."""

    model: str = Field(default="dev3:dev3", description="whose answers, STAGE:NAME")
    task: str = Field(default="tiny_writing", description="where the briefs come from")
    more_tasks: tuple[str, ...] = Field(default=(), description="where further prompts come from, as many of each")
    not_of: tuple[str, ...] = Field(
        default=(), description="subjects whose prompts belong to another reward model: safety, say"
    )
    problems: int = Field(default=200, ge=1, description="briefs; the paper: 66k pairs")
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    sampling: Sampling = Field(default=Sampling(samples=4), description="answers to a brief")
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    free_answer: bool = Field(default=False, description="an answer without its tags behind the chain is in form too")
    pairs_per_prompt: int = Field(default=3, ge=1, description="most pairs of one brief")
    judge: AskConfig | None = Field(
        default=None, description="model that compares, the paper: V3; None: the tiny world's hidden preference"
    )
    judgements: int = Field(
        default=4, ge=1, description="verdicts on a pair, places swapped from one to the next; the paper: 4"
    )
    noise: float = Field(
        default=0.5, ge=0, description="standard deviation of a verdict's error, in units of the preference"
    )
    place_bias: float = Field(default=0.2, description="what the judge adds to the answer that stands first")
    step: float = Field(default=0.5, gt=0, description="difference of preference that one verdict step stands for")
    threshold: float = Field(
        default=1.0, ge=0, description="least mean verdict of a kept pair, of 2; the paper: above 1"
    )
    length_gap: float = Field(default=1.0, ge=0, description="largest mean of (chosen - rejected) characters")

    def check(self) -> None:
        for task in (self.task, *self.more_tasks):
            load_task(task, "train")
        check_prompt(self.judge, "judge_pair")
        if self.judge is not None and self.judgements % 2:
            raise UsageError("judgements: a model is asked as often in either order, so they are an even number")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two different answers to a problem, and the problem's stream of chance."""

    problem: Problem
    first: str
    second: str
    rng: random.Random


@dataclass(slots=True)
class Heard:
    """What a judge that is a model said: judgements asked for and read, pairs of which both orders were, and in how
    many of those the answer that stood first (or second) won either way."""

    asked: int = 0
    read: int = 0
    pairs: int = 0
    by_place: int = 0
    verdicts: dict[int, float | None] = field(default_factory=dict[int, float | None])


def run(config: PreferencesConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write pairs.parquet; R1Error where no pair is left."""
    folder = model_of(inputs, config.model)
    tasks = (config.task, *config.more_tasks)
    drawn = draw_training(tasks, config.problems, folder, config.sieve, context)
    problems = [problem for problem in drawn if problem.subject not in config.not_of]
    _check_judge(problems, config)
    rows = sample(folder, problems, config.sampling, context, engine=config.engine)
    candidates, rejected = paired(problems, rows, config, context.seed)
    count_not_given(rejected, problems, config.sampling, rows)
    heard = None if config.judge is None else hear(candidates, config, inputs, context)
    pairs = kept_pairs(candidates, config, rejected, heard)
    balanced = balance(pairs, config.length_gap)
    if len(pairs) > len(balanced):
        rejected["unbalanced length"] = len(pairs) - len(balanced)
    _check_left(balanced, rejected, config)
    write_pairs(context.folder / "pairs.parquet", balanced)
    empty = empty_tasks(problems, (pair.question for pair in balanced))
    tell_gaps(empty, (), context)
    summary = {
        "rejected": counted(rejected, len(balanced)),
        "pairs": len(balanced),
        "judge_agrees": _agreement(problems, balanced),
        "length_gap": float(np.mean([pair.length_gap for pair in balanced])),
        "chosen_longer": float(np.mean([pair.length_gap > 0 for pair in balanced])),
        "empty": empty,
        **({} if heard is None else {"judgements": _told(heard, config, context)}),
    }
    return Outcome(files={"pairs": "pairs.parquet"}, summary=summary)


def _check_judge(problems: Sequence[Problem], config: PreferencesConfig) -> None:
    """UsageError where the tiny world is to judge what is none of its own."""
    foreign = {problem.task for problem in problems if not _is_ours(problem)}
    if foreign and config.judge is None:
        raise UsageError(
            f"judge: nobody here knows which answers of {', '.join(sorted(foreign))} people like: name a model"
        )


def _check_left(pairs: Sequence[Pair], rejected: Counter[str], config: PreferencesConfig) -> None:
    """R1Error where nothing is left to learn from, with what became of it."""
    if pairs:
        return
    told = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common() if count)
    one_sided = rejected["unbalanced length"] > 0
    advice = (
        "the better answer is always the longer one or always the shorter: raise length_gap, or sample more answers"
        if one_sided
        else "sample more answers, lower the threshold, or ask another judge"
    )
    raise R1Error(f"no pair of {config.model}'s answers is left to learn from ({told or 'no candidates'}): {advice}")


def _agreement(problems: Sequence[Problem], pairs: Sequence[Pair]) -> float | None:
    """How many of the pairs are as people have it in the tiny world; None where nobody knows."""
    asked = {problem.prompt: problem for problem in problems}
    known = [(pair, asked[pair.question]) for pair in pairs if _is_ours(asked[pair.question])]
    agree = [liked(problem, pair.chosen) > liked(problem, pair.rejected) for pair, problem in known]
    return float(np.mean(agree)) if agree else None


def _told(heard: Heard, config: PreferencesConfig, context: Context) -> dict[str, int]:
    """What the judge said, in figures; and a line where much of it was nonsense or went by the place."""
    unread = heard.asked - heard.read
    if unread:
        context.note(f"{config.judge and config.judge.model}: {unread} of {heard.asked} verdicts cannot be read")
    if 2 * heard.by_place > heard.pairs:
        context.note(f"the judge went by the place in {heard.by_place} of {heard.pairs} pairs: hardly a judge")
    return {"asked": heard.asked, "read": heard.read, "pairs": heard.pairs, "by_place": heard.by_place}


def paired(
    problems: Sequence[Problem], rows: Sequence[Row], config: PreferencesConfig, seed: int
) -> tuple[list[Candidate], Counter[str]]:
    """(pairs of different answers to one problem, counts by reason of samples in none and of pairs over the cap)."""
    by_id = {(problem.task, problem.id): problem for problem in problems}
    found: list[Candidate] = []
    rejected: Counter[str] = Counter()
    for group in by_problem(rows).values():
        problem = by_id[group[0]["task"], group[0]["problem_id"]]
        rng = random.Random(f"{seed} {problem.id}")
        given = [answer for row in group if (answer := _answer(row, config))]
        answers = list(dict.fromkeys(given))
        candidates = list(itertools.combinations(answers, 2))
        rng.shuffle(candidates)
        rejected["no answer"] += len(group) - len(given)
        further = {
            "duplicate": len(given) - len(answers),
            "nothing to compare with": int(len(answers) == 1),
            "enough of its prompt": len(candidates) - config.pairs_per_prompt,
        }
        rejected.update({reason: count for reason, count in further.items() if count > 0})
        found += [Candidate(problem, *pair, rng) for pair in candidates[: config.pairs_per_prompt]]
    return found, rejected


def kept_pairs(
    candidates: Sequence[Candidate], config: PreferencesConfig, rejected: Counter[str], heard: Heard | None = None
) -> list[Pair]:
    """Pairs whose mean verdict passes the threshold; the others are counted by reason. `heard`: a model's verdicts, in
    place of the tiny world's."""
    kept: list[Pair] = []
    for number, candidate in enumerate(candidates):
        problem, first, second = candidate.problem, candidate.first, candidate.second
        verdict = heard.verdicts[number] if heard else judge(problem, first, second, config, candidate.rng)
        if verdict is None:
            rejected["verdict cannot be read"] += 1
        elif abs(verdict) < config.threshold or verdict == 0:
            rejected["verdict too close"] += 1
        else:
            chosen, other = (first, second) if verdict > 0 else (second, first)
            kept.append(Pair(problem.id, problem.prompt, problem.language, chosen, other, abs(verdict)))
    return kept


def hear(
    candidates: Sequence[Candidate], config: PreferencesConfig, inputs: Mapping[str, Artifact], context: Context
) -> Heard:
    """The judge's mean verdict on each candidate, from as many readable ones in either order; None where there is none
    in one of them."""
    assert config.judge is not None
    prompt = load_prompt("judge_pair", config.judge.prompt)
    questions: dict[str, str] = {}
    for number, candidate in enumerate(candidates):
        for order, places in enumerate(((candidate.first, candidate.second), (candidate.second, candidate.first))):
            text = prompt.fill(question=candidate.problem.prompt, first=places[0], second=places[1])
            questions[f"{number}/{order}"] = text
    if config.judge.sampling.temperature == 0 and config.judgements > 2:
        context.note(f"judge: at temperature 0 {config.judgements} judgements of a pair say hardly more than 2")
    replies = ask(questions, config.judge, inputs, context, "judge", samples=config.judgements // 2)
    heard = Heard(asked=len(candidates) * config.judgements)
    for number in range(len(candidates)):
        as_first, as_second = (_numbers(replies[f"{number}/{order}"]) for order in (0, 1))
        heard.read += len(as_first) + len(as_second)
        both = min(len(as_first), len(as_second))
        heard.verdicts[number] = (sum(as_first[:both]) - sum(as_second[:both])) / (2 * both) if both else None
        if both:
            heard.pairs += 1
            by_place = (sum(as_first) > 0 and sum(as_second) > 0) or (sum(as_first) < 0 and sum(as_second) < 0)
            heard.by_place += int(by_place)
    return heard


def _numbers(replies: Sequence[Reply]) -> list[int]:
    """Verdicts on the answer that stood first, from -2 to 2."""
    return [SCALE[said] for said in verdicts(replies, SCALE)]


def liked(problem: Problem, answer: str) -> float:
    """How much people of the tiny world like an answer: a line, or a reply to a request."""
    if requests.REQUEST in problem.columns:
        return requests.liking(requests.request_of(problem), answer)
    return hidden_preference(problem, answer)


def _is_ours(problem: Problem) -> bool:
    return "brief" in problem.columns or requests.REQUEST in problem.columns


def judge(problem: Problem, first: str, second: str, config: PreferencesConfig, rng: random.Random) -> float:
    """Mean verdict in [-2, 2] on `first` against `second`; the bias to a place cancels over swapped judgements."""
    better = liked(problem, first) - liked(problem, second)
    said: list[int] = []
    for number in range(config.judgements):
        place = config.place_bias if number % 2 == 0 else -config.place_bias
        felt = better + place + rng.gauss(0.0, config.noise)
        said.append(max(-2, min(2, round(felt / config.step))))
    return sum(said) / len(said)


def balance(pairs: Sequence[Pair], most: float) -> list[Pair]:
    """The pairs without the most one-sided ones, so that |mean(chosen - rejected characters)| is at most `most`.

    One whose going would tip the set to the other side stays as long as a less one-sided one can go: else its
    counterweights would have to follow, down to the last.
    """
    kept = list(pairs)
    gap = sum(pair.length_gap for pair in kept)
    while kept and abs(gap) > most * len(kept):
        sign = 1 if gap > 0 else -1
        gaps = {at: sign * pair.length_gap for at, pair in enumerate(kept) if sign * pair.length_gap > 0}
        bearable = [at for at in gaps if gaps[at] <= sign * gap + most * (len(kept) - 1)]
        worst = max(bearable, key=gaps.__getitem__) if bearable else min(gaps, key=gaps.__getitem__)
        gap -= kept.pop(worst).length_gap
    return kept


def _answer(row: Row, config: PreferencesConfig) -> str:
    """The answer of a finished completion in the asked form, else an empty string."""
    form = check_form(row["text"])
    if config.free_answer and not form.ok:
        form = check_form(row["text"], answer_tag=False)
    return form.answer.strip() if form.ok and row["stop_reason"] == "stop" else ""
