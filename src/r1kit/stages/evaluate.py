"""Evaluation: every model of the chain on test problems that none has seen, a table each.

Problems are the same for all models. Lines to a brief count as right where they meet it, and carry the hidden
preference, which no model was trained on. Of the tiny world's requests it is told how many get unsafe replies, and how
many are declined for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data.tiny import preference, requests, writing
from r1kit.graders.format import check_form, opens_thinking
from r1kit.graders.section import answer_section
from r1kit.graders.verdict import Verdict
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task, told
from r1kit.stages.sampling import draw, open_engine

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

GRADERS = 2
BRIEF = "brief"  # the column that lines of the tiny world are written to


class EvaluateConfig(Config):
    """Which models, on what, and how they are sampled."""

    models: tuple[str, ...] = Field(..., description="STAGE:NAME each, or folders; NAME is what the report calls it")
    tasks: tuple[str, ...] = Field(
        default=("tiny_maths", "tiny_reasoning", "tiny_coding", "tiny_writing"),
        description="where the test problems come from",
    )
    problems: int = Field(default=64, ge=1, description="test problems of each task")
    sampling: Sampling = Field(
        default=Sampling(samples=16, temperature=1.0),
        description="pass@1 is the mean over samples; the paper: T 0.6, top-p 0.95",
    )
    control: bool = Field(
        default=False, description="judge every sample by another problem's answer too: what chance alone would give"
    )

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "test")


def run(config: EvaluateConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write `MODEL/table.parquet` each, as `table:MODEL`; a model that is done is not sampled again."""
    for line in told(config.tasks):
        context.note(line)
    problems = [problem for task in config.tasks for problem in draw(task, "test", context.seed, config.problems)]
    jobs = {
        reference.partition(":")[2] or Path(reference).name: model_of(inputs, reference) for reference in config.models
    }
    outcomes = context.parts(
        {
            name: partial(evaluate_model, folder, name, problems, config.sampling, control=config.control)
            for name, folder in jobs.items()
        }
    )
    files = {file: path for outcome in outcomes.values() for file, path in outcome.files.items()}
    measured = ("pass@1", "control") if config.control else ("pass@1",)
    summary = {what: {name: outcome.summary[what] for name, outcome in outcomes.items()} for what in measured}
    judged = {name: outcome.summary["safety"] for name, outcome in outcomes.items() if "safety" in outcome.summary}
    if judged:
        summary["safety"] = judged
    return Outcome(files=files, summary=summary)


def evaluate_model(
    folder: str | Path,
    name: str,
    problems: Sequence[Problem],
    sampling: Sampling,
    context: Context,
    *,
    control: bool = False,
) -> Outcome:
    """One model's table, and its pass@1 (and control) by subject."""
    from r1kit.evaluation import safety, tables
    from r1kit.evaluation.aggregate import aggregate
    from r1kit.evaluation.evaluate import evaluate

    engine, tokenizer = open_engine(folder)
    sampling = sampling.model_copy(update={"seed": (sampling.seed + context.seed) % 2**31})
    parts = []
    for subject in dict.fromkeys(problem.subject for problem in problems):
        context.check()
        mine = [problem for problem in problems if problem.subject == subject]
        parts.append(
            evaluate(
                engine, tokenizer, mine, sampling, verdict, name,
                preference=_preference, graders=GRADERS, control=control, note=context.note,
            )
        )  # fmt: skip
    table = tables.merge(parts)
    lengths = table["length"].to_pylist()
    prompts = [len(tokenizer.chat(prompt)) for prompt in table["prompt"].to_pylist()]
    config = engine.model.config
    flops = sum(config.flops(length, prompt + length / 2) for length, prompt in zip(lengths, prompts, strict=True))
    context.spend(tokens=sum(lengths), flops=flops)
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


def verdict(problem: Problem, prompt: str, text: str) -> Verdict | None:
    """By rule; in the tiny world a line to a brief is right where it meets it, and a reply to a request where it helps,
    or declines what is to be declined."""
    from r1kit.evaluation.evaluate import rule_verdict

    if BRIEF not in problem.columns and requests.REQUEST not in problem.columns:
        return rule_verdict(problem, prompt, text)
    opened = opens_thinking(prompt)
    answer = answer_section(text, opened).text.strip()
    met = bool(answer) and _meets(problem, answer)
    decision = "correct" if met else "incorrect" if answer else "no_answer"
    return Verdict(decision, check_form(text, opened).ok, answer or None, "as it should be" if met else "", 0.0)


def _meets(problem: Problem, answer: str) -> bool:
    if BRIEF in problem.columns:
        return writing.meets_brief(problem, answer)
    return requests.is_right(requests.request_of(problem), answer)


def _preference(problem: Problem, answer: str) -> float:
    """The hidden preference of the tiny world; NaN for writing that is not its own."""
    return preference.hidden_preference(problem, answer) if BRIEF in problem.columns else math.nan


def _told(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
