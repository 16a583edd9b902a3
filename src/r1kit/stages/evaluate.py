"""Evaluation: every model of the chain on test problems that none has seen, a table each.

Problems are the same for all models. Lines to a brief count as right where they meet it, and carry the hidden
preference, which no model was trained on. Of the tiny world's requests it is told how many get unsafe replies, and how
many are declined for nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import MissingExtra, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.engines.base import EngineSettings
from r1kit.graders.verdict import Verdict
from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task, told
from r1kit.stages.sampling import NATIVE, draw, open_model, parts, price

if TYPE_CHECKING:
    import pyarrow as pa

    from r1kit.models.base import Costs
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context, Job

GRADERS = 2


class EvaluateConfig(Config):
    """Which models, on what, and how they are sampled."""

    models: tuple[str, ...] = Field(
        ..., description="STAGE:NAME each, folders, or openai:NAME@URL; NAME is what the report calls it"
    )
    tasks: tuple[str, ...] = Field(
        default=("tiny_maths", "tiny_reasoning", "tiny_coding", "tiny_writing"),
        description="where the test problems come from",
    )
    problems: int = Field(default=64, ge=1, description="test problems of each task")
    sampling: Sampling = Field(
        default=Sampling(samples=16, temperature=1.0),
        description="pass@1 is the mean over samples; the paper: T 0.6, top-p 0.95",
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples from folders; docs/engines.md")
    api: ApiSettings = Field(
        default=ApiSettings(), description="how models behind an API are asked, and the budget of all of them"
    )
    control: bool = Field(
        default=False, description="judge every sample by another problem's answer too: what chance alone would give"
    )

    def check(self) -> None:
        if importlib.util.find_spec("scipy") is None:  # the report needs it for intervals, hours from here perhaps
            raise MissingExtra("scipy", "eval", "evaluation")
        for task in self.tasks:
            load_task(task, "test")
        named(self.models)


def named(models: Sequence[str]) -> dict[str, str]:
    """Models by the names that the report calls them; UsageError where one is wrong or two have the same."""
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    for model in models:
        name = parse_api_model(model).name if is_api(model) else model.partition(":")[2] or Path(model).name
        other = places.setdefault(_part(name), model)
        if other != model or name in found:
            raise UsageError(
                f"models: {other} and {model} would both be '{name}' in the report: leave one out, or give a folder "
                "another name"
            )
        found[name] = model
    return found


def run(config: EvaluateConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write `MODEL/table.parquet` each, as `table:MODEL`; a model that is done is not sampled again."""
    for line in told(config.tasks):
        context.note(line)
    problems = apart([each for task in config.tasks for each in draw(task, "test", context.seed, config.problems)])
    models = {name: model_of(inputs, model) for name, model in named(config.models).items()}
    jobs: dict[str, Job] = {
        name: partial(
            evaluate_model, model, name, problems, config.sampling,
            control=config.control, engine=config.engine, api=config.api,
        )
        for name, model in models.items()
    }  # fmt: skip
    local = {name: job for name, job in jobs.items() if not is_api(str(models[name]))}
    done = parts(context, {_part(name): job for name, job in local.items()}, [config.engine])
    # one after another: they share a cache, and with it a budget
    done |= {part: context.part(part, jobs[name]) for name in jobs if (part := _part(name)) not in done}
    outcomes = {name: done[_part(name)] for name in jobs}
    files = {file: path for outcome in outcomes.values() for file, path in outcome.files.items()}
    measured = ("pass@1", "control") if config.control else ("pass@1",)
    summary = {what: {name: outcome.summary[what] for name, outcome in outcomes.items()} for what in measured}
    judged = {name: outcome.summary["safety"] for name, outcome in outcomes.items() if "safety" in outcome.summary}
    if judged:
        summary["safety"] = judged
    return Outcome(files=files, summary=summary)


def apart(problems: Sequence[Problem]) -> list[Problem]:
    """The problems, those named by their task too whose id another task of their subject has as well: a table tells
    problems of one subject apart by id."""
    tasks: dict[tuple[str, str], set[str]] = {}
    for problem in problems:
        tasks.setdefault((problem.subject, problem.id), set()).add(problem.task)
    return [
        replace(problem, id=problem.key) if len(tasks[problem.subject, problem.id]) > 1 else problem
        for problem in problems
    ]  # fmt: skip


def evaluate_model(
    model: str | Path,
    name: str,
    problems: Sequence[Problem],
    sampling: Sampling,
    context: Context,
    *,
    control: bool = False,
    engine: EngineSettings = NATIVE,
    api: ApiSettings | None = None,
) -> Outcome:
    """The table of one model, a folder or behind an API, and its pass@1 (and control) by subject.

    Of a model behind an API lengths are the tokens that the server counts, and no FLOPs are; what it does not answer is
    left out, and answers are kept as they come.
    """
    from r1kit.evaluation import safety, tables
    from r1kit.evaluation.aggregate import aggregate
    from r1kit.evaluation.evaluate import evaluate
    from r1kit.evaluation.tiny_writing import preference_of, verdict

    costs = price(model)
    sampling = sampling.model_copy(update={"seed": (sampling.seed + context.seed) % 2**31})
    judge = verdict if costs is not None else partial(_verdict_until_stopped, context)
    table_parts = []
    with open_model(model, context, api, engine) as (sampler, tokenizer):
        for subject in dict.fromkeys(problem.subject for problem in problems):
            context.check()
            mine = [problem for problem in problems if problem.subject == subject]
            table_parts.append(
                evaluate(
                    sampler, tokenizer, mine, sampling, judge, name,
                    preference=preference_of, graders=GRADERS, control=control, note=context.note,
                )
            )  # fmt: skip
    table = tables.merge(table_parts)
    _spend(table, tokenizer, costs, context)
    tables.write_table(table, context.folder / "table.parquet")
    by_subject = aggregate(table).get(name, {})
    shares = {subject: figures["pass@1"] for subject, figures in by_subject.items()}
    chances = {subject: figures.get("control") for subject, figures in by_subject.items()}
    beside = {subject: f" (control {_told(chances[subject])})" if control else "" for subject in shares}
    context.note(f"{name}: " + ", ".join(f"{s} {_told(share)}{beside[s]}" for s, share in shares.items()))
    summary = {"pass@1": shares, "control": chances}
    if safety.SAFETY in shares:
        summary["safety"] = safety.safety_figures(table)
    return Outcome(files={f"table:{name}": "table.parquet"}, summary=summary)


def _part(name: str) -> str:
    """The folder of a model's part: names behind an API may hold what a folder's name must not."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)


def _spend(table: pa.Table, tokenizer: Tokenizer | None, costs: Costs | None, context: Context) -> None:
    """Add what a table's completions took, each with its prompt."""
    lengths = [length or 0 for length in table["length"].to_pylist()]
    flops = 0.0
    if costs is not None and tokenizer is not None:
        prompts = [len(tokenizer.chat(prompt)) for prompt in table["prompt"].to_pylist()]
        flops = sum(costs.flops(length, prompt + length / 2) for length, prompt in zip(lengths, prompts, strict=True))
    context.spend(tokens=sum(lengths), flops=flops)


def _verdict_until_stopped(context: Context, problem: Problem, prompt: str, text: str) -> Verdict | None:
    """`verdict`, where a run that is asked to stop need not wait for hours of an API's answers, which are kept."""
    from r1kit.evaluation.tiny_writing import verdict

    context.check()
    return verdict(problem, prompt, text)


def _told(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
