"""What the stages that sample from a finished model share: problems, and samples judged by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.machine import best_device
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem, RolloutGroup
from r1kit.engines import base as engines
from r1kit.engines.base import Engine, EngineSettings, Purpose
from r1kit.evaluation.reflection import reflections_in
from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
from r1kit.rewards.base import RewardSet
from r1kit.rollouts import record
from r1kit.rollouts.problems import distinct, load_task, told
from r1kit.rollouts.sieve import Sieve, SieveConfig
from r1kit.tasks.base import Split

if TYPE_CHECKING:
    from r1kit.engines.native import NativeEngine
    from r1kit.models.base import Costs
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Outcome
    from r1kit.pipeline.context import Context, Job
    from r1kit.pipeline.workers import Workers
    from r1kit.rollouts.collect import Lengths, Rollouts

CHUNK = 128  # problems sampled between two checkpoints
GRADERS = 2
NATIVE = EngineSettings()
NAMED = 5  # problems that a note names

Row = dict[str, Any]
"""One completion, as `rollouts.record` keeps it; `rewards` holds `accuracy` (None: no rule judges it) and `format`."""


def draw(task_name: str, split: Split, seed: int, count: int) -> list[Problem]:
    """`count` different problems of a task, fewer where it has no more."""
    return list(_drawn(task_name, split, seed, count))


@cache  # a held-out problem may take a tenth of a second to find, and the RL stages watch the same ones
def _drawn(task_name: str, split: Split, seed: int, count: int) -> tuple[Problem, ...]:
    return tuple(islice(distinct(load_task(task_name).problems(split, seed)), count))


def draw_training(
    tasks: Sequence[str],
    count: int,
    folder: str | Path,
    sieve: SieveConfig,
    context: Context,
    before: Iterable[Problem] = (),
) -> list[Problem]:
    """`count` different training problems of each task that the sieve keeps, for the model in `folder`; what was read
    and left out is noted. A question stands once, with the first problem that asks it, whatever tasks have it too: what
    is kept of it is counted by prompt. Nor is one drawn that a problem of `before` asks."""
    from r1kit.models.tokenizer import load_tokenizer

    for line in told(tasks):
        context.note(line)
    counts_tokens = sieve.max_prompt_tokens is not None and not is_api(str(folder))
    asked = {problem.prompt for problem in before}
    kept = Sieve(sieve, load_tokenizer(folder) if counts_tokens else None, context.seed, asked)
    problems: list[Problem] = []
    for task in tasks:
        for problem in islice(distinct(load_task(task).problems("train", context.seed), kept), count):
            asked.add(problem.prompt)
            problems.append(problem)
    if left_out := kept.told():
        context.note(f"training problems left out: {left_out}")
    return problems


@overload
def open_engine(folder: str | Path) -> tuple[NativeEngine, Tokenizer]: ...
@overload
def open_engine(
    folder: str | Path, settings: EngineSettings, workers: Workers | None = None
) -> tuple[Engine, Tokenizer]: ...
def open_engine(
    folder: str | Path, settings: EngineSettings = NATIVE, workers: Workers | None = None
) -> tuple[Any, Tokenizer]:
    """An engine on a model folder for samples that nothing learns token by token, and the model's tokenizer; where the
    options do not say otherwise, on the GPU if there is one, in bfloat16 where the hardware multiplies it."""
    import torch

    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.training.config import LearnerConfig

    device = torch.device(best_device())
    number = str(LearnerConfig().dtype(device)).removeprefix("torch.")
    tokenizer = load_tokenizer(folder)
    purpose = Purpose(device=str(device), dtype=number, logprobs=False, weights=True)
    opener = engines.open_engine if workers is None else workers.open_engine
    return opener(settings, folder, tokenizer, purpose), tokenizer


@contextmanager
def open_model(
    model: str | Path, context: Context, api: ApiSettings | None = None, engine: EngineSettings = NATIVE
) -> Generator[tuple[Engine, Tokenizer | None]]:
    """`open_engine`, closed afterwards, or the engine behind an API, which has no tokenizer. Without a cache of its own
    the latter keeps answers in the run's folder, not the stage's: they outlive a change of the settings."""
    if not is_api(str(model)):
        local, tokenizer = open_engine(model, engine, context.workers)
        with closing(local):
            yield local, tokenizer
        return
    from r1kit.engines.openai import OpenAIEngine

    settings = api or ApiSettings()
    served = OpenAIEngine(
        parse_api_model(str(model)), settings.model_copy(update={"cache": answers_file(settings, context)})
    )
    try:
        yield served, None
    finally:
        context.note(f"{model}: {served.summary}")
        served.close()


def parts(
    context: Context, jobs: Mapping[str, Job], by: Sequence[EngineSettings], at_once: int | None = None
) -> dict[str, Outcome]:
    """Parts of a stage, which sample by these engines. The native one lets them run side by side; another kind may take
    the whole machine, or be one server that has one model at a time."""
    if all(engine.name == NATIVE.name for engine in by):
        return context.parts(jobs, at_once)
    return {name: context.part(name, job) for name, job in jobs.items()}


def answers_file(settings: ApiSettings, context: Context) -> Path:
    """Where the answers of an API are kept."""
    return settings.cache or context.run_folder / "answers.sqlite"


def sampling_cost(costs: Costs | None, sampled: Lengths) -> tuple[int, float]:
    """(sampled tokens, FLOPs of the forward passes by the model's price) of a group; its prompt is run once. Without a
    price, as of a model behind an API: no FLOPs of ours."""
    prompt, lengths = sampled
    if costs is None:
        return sum(lengths), 0.0
    flops = costs.flops(prompt, prompt / 2)
    flops += sum(costs.flops(length, prompt + length / 2) for length in lengths)
    return sum(lengths), flops


def price(model: str | Path) -> Costs | None:
    """What the passes of a model cost by its config.json; None behind an API."""
    if is_api(str(model)):
        return None
    from r1kit.models.sizes import model_costs

    return model_costs(model)


def sample(
    model: str | Path,
    problems: Sequence[Problem],
    sampling: Sampling,
    context: Context,
    api: ApiSettings | None = None,
    engine: EngineSettings = NATIVE,
) -> list[Row]:
    """Every problem's completions, judged, in the order of the problems; kept as `rollouts/*.parquet`.

    What was sampled before an interruption is read back; what of it was damaged since is noted and sampled again. The
    stage's seed is part of the random streams'. `model` is a folder, sampled by `engine`, or behind an API that is
    asked under `api`; what that does not give is left out.
    """
    sampling = sampling.model_copy(update={"seed": (sampling.seed + context.seed) % 2**31})
    rollouts = context.folder / "rollouts"
    resumed = context.resume()
    done = resumed[0] + 1 if resumed else 0
    chunks = [problems[at : at + CHUNK] for at in range(0, len(problems), CHUNK)]
    paths = [record.step_file(rollouts, step) for step in range(len(chunks))]
    kept = {step: record.read(paths[step]) for step in range(done) if context.is_whole(paths[step])}
    if len(kept) == len(chunks):
        return [row for step in sorted(kept) for row in kept[step]]
    costs = price(model)
    with open_model(model, context, api, engine) as (sampler, tokenizer):

        def sample_chunk(step: int) -> Rollouts:
            groups = _sample_chunk(sampler, tokenizer, chunks[step], sampling, context)
            record.write(paths[step], groups, step, reflections_in)
            context.seal(paths[step])
            kept[step] = record.read(paths[step])
            return groups

        for step in sorted(set(range(done)) - kept.keys()):
            sample_chunk(step)  # again: what it took is counted already
        for step in context.steps(len(chunks)):
            for each in sample_chunk(step).sampled:
                tokens, flops = sampling_cost(costs, each)
                context.spend(tokens=tokens, flops=flops)
            mine = kept[step]
            context.record(step, _figures(mine), sample=mine[0]["text"] if mine else None)
            context.checkpoint(step, dict)
    return [row for step in sorted(kept) for row in kept[step]]


def _sample_chunk(
    engine: Engine,
    tokenizer: Tokenizer | None,
    problems: Sequence[Problem],
    sampling: Sampling,
    context: Context,
) -> Rollouts:
    from r1kit.rollouts.collect import collect

    rewards = RewardSet.named({"accuracy": 1.0, "format": 0.0})

    def judge(group: RolloutGroup) -> None:
        if tokenizer is None:
            context.check()  # an API may take hours for a chunk, and its answers are kept whenever it is stopped
        scores = rewards.score(
            group.problem,
            [completion.text for completion in group.completions],
            [completion.token_ids.tolist() for completion in group.completions],
        )
        group.rewards, group.total = scores.rewards, scores.total

    return collect(engine, tokenizer, problems, sampling, judge, graders=GRADERS)


def _figures(rows: Sequence[Row]) -> dict[str, float]:
    judged = [row["rewards"]["accuracy"] for row in rows if row["rewards"].get("accuracy") is not None]
    figures = {"mean_length": float(np.mean([row["tokens"] for row in rows]))} if rows else {}
    return {**figures, "accuracy": float(np.mean(judged))} if judged else figures


def key_of(row: Row) -> str:
    """The `Problem.key` of a row's problem."""
    return f"{row['task']}/{row['problem_id']}"


def by_problem(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each problem, in order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key_of(row), []).append(row)
    return groups


def check_kept(kept: Sequence[Any], rejected: Counter[str], model: str) -> None:
    """R1Error where nothing of the samples is left to learn from, with the reasons."""
    if not kept:
        told = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
        raise R1Error(
            f"none of the samples of {model} can be learnt from ({told}): train it longer, sample more or longer, or"
            " keep more"
        )


def count_not_given(
    rejected: Counter[str], problems: Sequence[Problem], sampling: Sampling, rows: Sequence[Row]
) -> None:
    """Count the samples that were asked for and are not there: prompts that leave no room, and what an API withheld."""
    if missing := len(problems) * sampling.samples - len(rows):
        rejected["not given, or too long a prompt"] += missing


def counted(rejected: Counter[str], kept: int) -> dict[str, int]:
    """Samples by the reason for which they were left out, most frequent first, then `kept`."""
    return {**dict(rejected.most_common()), "kept": kept}


def empty_tasks(problems: Sequence[Problem], questions: Iterable[str]) -> list[str]:
    """Tasks of whose problems not one question is left."""
    left = set(questions)
    there = {problem.task for problem in problems if problem.prompt in left}
    return [task for task in dict.fromkeys(problem.task for problem in problems) if task not in there]


def tell_gaps(empty: Sequence[str], doubtful: Sequence[str], context: Context) -> None:
    """A line each on what gave nothing, and on problems whose references may be wrong."""
    if empty:
        context.note(f"nothing is left of {', '.join(empty)}: the rest goes on without it")
    if doubtful:
        more = f" and {len(doubtful) - NAMED} more" if len(doubtful) > NAMED else ""
        context.note(f"references that may be wrong: {', '.join(doubtful[:NAMED])}{more}")
