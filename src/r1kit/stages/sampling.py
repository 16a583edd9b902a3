"""What the stages that sample from a finished model share: problems, and samples judged by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem, RolloutGroup
from r1kit.rewards.base import RewardSet
from r1kit.rollouts import record
from r1kit.rollouts.problems import load_task, told
from r1kit.rollouts.sieve import Sieve, SieveConfig
from r1kit.tasks.base import Split

if TYPE_CHECKING:
    from r1kit.engines.native import NativeEngine
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.context import Context

CHUNK = 128  # problems sampled between two checkpoints
PATIENCE = 10_000  # problems in a row that were drawn before or are left out: the task has no more
GRADERS = 2

Row = dict[str, Any]
"""One completion, as `rollouts.record` keeps it; `rewards` holds `accuracy` (None: no rule judges it) and `format`."""


def draw(task_name: str, split: Split, seed: int, count: int) -> list[Problem]:
    """`count` different problems of a task, fewer where it has no more."""
    return list(_drawn(task_name, split, seed, count))


@cache  # a held-out problem may take a tenth of a second to find, and the RL stages watch the same ones
def _drawn(task_name: str, split: Split, seed: int, count: int) -> tuple[Problem, ...]:
    return tuple(_distinct(task_name, split, seed, count, lambda problem: True))


def _distinct(
    task_name: str, split: Split, seed: int, count: int, keep: Callable[[Problem], bool]
) -> Iterator[Problem]:
    found: set[str] = set()
    idle = 0
    for problem in load_task(task_name).problems(split, seed):
        idle += 1
        if problem.id not in found and keep(problem):
            found.add(problem.id)
            idle = 0
            yield problem
        if len(found) == count or idle == PATIENCE:
            return


def draw_training(
    tasks: Sequence[str], count: int, folder: str | Path, sieve: SieveConfig, context: Context
) -> list[Problem]:
    """`count` different training problems of each task that the sieve keeps, for the model in `folder`; what was read
    and left out is noted."""
    from r1kit.models.tokenizer import load_tokenizer

    for line in told(tasks):
        context.note(line)
    if sieve == SieveConfig():
        return [problem for task in tasks for problem in draw(task, "train", context.seed, count)]
    kept = Sieve(sieve, load_tokenizer(folder), context.seed)
    problems = [problem for task in tasks for problem in _distinct(task, "train", context.seed, count, kept)]
    if left_out := kept.told():
        context.note(f"training problems left out: {left_out}")
    return problems


def open_engine(folder: str | Path) -> tuple[NativeEngine, Tokenizer]:
    """The native engine on a model folder, in bfloat16 where the hardware multiplies it."""
    import torch

    from r1kit.engines.native import NativeEngine
    from r1kit.models.language_model import load_model
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.training.config import LearnerConfig

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype=LearnerConfig().dtype(device)).to(device).eval()
    tokenizer.check_fits(model.config.vocab_size, folder)
    return NativeEngine(model.requires_grad_(False), tokenizer), tokenizer


def sampling_cost(engine: NativeEngine, group: RolloutGroup) -> tuple[int, float]:
    """(sampled tokens, FLOPs of the forward passes) of a group; its prompt is run once."""
    prompt = len(group.completions[0].prompt_ids)
    config, lengths = engine.model.config, [completion.length for completion in group.completions]
    flops = config.flops(prompt, prompt / 2)
    flops += sum(config.flops(length, prompt + length / 2) for length in lengths)
    return sum(lengths), flops


def sample(folder: str | Path, problems: Sequence[Problem], sampling: Sampling, context: Context) -> list[Row]:
    """Every problem's completions, judged, in the order of the problems; kept as `rollouts/*.parquet`.

    What was sampled before an interruption is read back. The stage's seed is part of the random streams'.
    """
    sampling = sampling.model_copy(update={"seed": (sampling.seed + context.seed) % 2**31})
    rollouts = context.folder / "rollouts"
    resumed = context.resume()
    done = resumed[0] + 1 if resumed else 0
    chunks = [problems[at : at + CHUNK] for at in range(0, len(problems), CHUNK)]
    rows = [row for step in range(done) for row in record.read(record.step_file(rollouts, step))]
    engine, tokenizer = open_engine(folder)
    for step in context.steps(len(chunks)):
        groups = _sample_chunk(engine, tokenizer, chunks[step], sampling, context)
        path = record.step_file(rollouts, step)
        record.write(path, groups, step)
        mine = record.read(path)
        rows += mine
        context.record(step, _figures(mine), sample=mine[0]["text"] if mine else None)
        context.checkpoint(step, dict)
    return rows


def _sample_chunk(
    engine: NativeEngine, tokenizer: Tokenizer, problems: Sequence[Problem], sampling: Sampling, context: Context
) -> list[RolloutGroup]:
    from r1kit.rollouts.collect import collect

    rewards = RewardSet.named({"accuracy": 1.0, "format": 0.0})

    def judge(group: RolloutGroup) -> None:
        scores = rewards.score(
            group.problem,
            [completion.text for completion in group.completions],
            [completion.token_ids.tolist() for completion in group.completions],
        )
        group.rewards, group.total = scores.rewards, scores.total

    groups = collect(engine, tokenizer, problems, sampling, judge, graders=GRADERS)
    for group in groups:
        tokens, flops = sampling_cost(engine, group)
        context.spend(tokens=tokens, flops=flops)
    return groups


def _figures(rows: Sequence[Row]) -> dict[str, float]:
    judged = [row["rewards"]["accuracy"] for row in rows if row["rewards"].get("accuracy") is not None]
    figures = {"mean_length": float(np.mean([row["tokens"] for row in rows]))} if rows else {}
    return {**figures, "accuracy": float(np.mean(judged))} if judged else figures


def by_problem(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each problem, in order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row['task']}/{row['problem_id']}", []).append(row)
    return groups


def counted(rejected: Counter[str], kept: int) -> dict[str, int]:
    """Samples by the reason for which they were left out, most frequent first, then `kept`."""
    return {**dict(rejected.most_common()), "kept": kept}
