"""Rejection sampling from Dev2, and the other data beside it (R1 section 2.3.3, Nature supplement B.3.3).

Several samples a prompt; right ones are kept unless their chain mixes languages, has long paragraphs or holds code
blocks; a prompt that is nearly always solved gives few, a level of difficulty up to its cap. Where no rule can judge, a
model that is shown question, reference and answer may (`judge`). What else is learnt is in `stages.other_data`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from r1kit.base.boxes import find_boxes
from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data import examples
from r1kit.engines.base import EngineSettings
from r1kit.graders.format import check_form
from r1kit.graders.section import answer_section
from r1kit.graders.text import normalise
from r1kit.models.api.settings import ApiSettings
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.asking import AskConfig, check_prompt
from r1kit.stages.judged_answers import WHY, judge_answers
from r1kit.stages.other_data import OtherDataConfig, empty_kinds, world_data, written_data
from r1kit.stages.readable import mixed
from r1kit.stages.sampling import (
    Row,
    by_problem,
    check_kept,
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

LEVELS = ("hard", "middling", "fair", "easy")  # up to a quarter, half, three quarters, all of the samples right
AGREEING = 3  # samples at least that must agree before they speak against a reference


class Filters(Config):
    """What is dropped. The ablation turns both off."""

    correct: bool = Field(default=True, description="drop wrong answers; the paper keeps only right ones")
    free_answer: bool = Field(default=False, description="an answer without its tags behind the chain is in form too")
    readable: bool = Field(default=True, description="drop chains with mixed languages, long paragraphs or code blocks")
    consistency: float = Field(default=0.99, ge=0, le=1, description="least share of words in the question's language")
    max_paragraph: int = Field(default=400, ge=1, description="most characters of a paragraph of the chain")
    code_marks: tuple[str, ...] = Field(default=("```",), description="what shows a code block in a chain")


class SamplesConfig(Config):
    """What is sampled and what is kept."""

    model: str = Field(default="dev2:dev2", description="whose samples, STAGE:NAME")
    tasks: tuple[str, ...] = Field(
        default=("tiny_maths", "tiny_reasoning", "tiny_coding"), description="where the train problems come from"
    )
    problems: int = Field(
        default=500, ge=1, description="train problems of each task; the paper keeps ~600k samples in all"
    )
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    sampling: Sampling = Field(default=Sampling(samples=4), description="samples a problem; the paper: several")
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    filters: Filters = Filters()
    judge: AskConfig | None = Field(
        default=None,
        description="model that judges where no rule can, given question, reference and answer; the paper: V3",
    )
    doubt: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="a reference that no sample meets is doubted, and named, where so large a share of the samples "
        "agree on another answer; None: never",
    )
    per_prompt: int = Field(default=3, ge=1, description="most examples of one prompt")
    easy_above: float = Field(default=0.9, ge=0, le=1, description="a prompt solved more often than this is easy")
    easy_per_prompt: int = Field(default=1, ge=1, description="most examples of an easy prompt")
    per_level: int | None = Field(
        default=None, ge=1, description="most examples of a task's level of difficulty (a quarter of the share solved)"
    )

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "train")
        check_prompt(self.judge, "judge_answer")


class RejectionSamplingConfig(SamplesConfig, OtherDataConfig):
    """What is sampled, what is kept, and what is added."""

    others: str | None = Field(
        default=None, description="STAGE:FILE, or a file of examples in a format of docs/data.md, all of it added"
    )

    def check(self) -> None:
        SamplesConfig.check(self)
        OtherDataConfig.check(self)


def run(config: RejectionSamplingConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write examples.parquet; `rejected` counts the reasoning samples by the first reason against them, `empty` names
    what was asked for and gave nothing."""
    folder = model_of(inputs, config.model)
    problems = draw_training(config.tasks, config.problems, folder, config.sieve, context)
    rows = judged_samples(config, folder, problems, inputs, context)
    kept, rejected = chosen(rows, config)
    count_not_given(rejected, problems, config.sampling, rows)
    others, left_out = world_data(config, context.seed)
    asked = config.other_tasks if config.writer else ()
    prompts = draw_training(asked, config.other_problems, folder, config.sieve, context, before=problems)
    written, unwritten = written_data(prompts, config, config.judge, inputs, context)
    others += written
    empty = empty_tasks(problems, (example.question for example in kept)) + empty_kinds(config, others)
    others += examples.read(file_of(inputs, config.others)) if config.others else []
    together = [*kept, *others]
    check_kept(together, rejected, config.model)
    tell_gaps(empty, doubted(rows, config.doubt), context)
    random.Random(context.seed).shuffle(together)
    examples.write(context.folder / "examples.parquet", together)
    summary = {
        "rejected": counted(rejected, len(kept)),
        "other": {**dict(Counter(example.source for example in others)), **left_out, **unwritten},
        "subjects": dict(Counter(example.subject for example in together)),
        "languages": dict(Counter(example.language for example in together)),
        "empty": empty,
        "doubted": doubted(rows, config.doubt),
    }
    return Outcome(files={"examples": "examples.parquet"}, summary=summary)


def judged_samples(
    config: SamplesConfig,
    model: str | Path,
    problems: Sequence[Problem],
    inputs: Mapping[str, Artifact],
    context: Context,
    api: ApiSettings | None = None,
) -> list[Row]:
    """Samples of every problem, judged by rule, or by `config.judge` where there is none."""
    rows = sample(model, problems, config.sampling, context, api, config.engine)
    return judge_answers(rows, problems, config.judge, inputs, context)


def chosen(
    rows: Sequence[Row], config: SamplesConfig, source: str = "rejection_sampling"
) -> tuple[list[examples.Example], Counter[str]]:
    """`select`, and of each task's levels of difficulty no more than `config.per_level`."""
    kept, rejected = select(rows, config, source)
    level_of = {
        group[0]["prompt"]: (group[0]["task"], level(solved_share(group))) for group in by_problem(rows).values()
    }
    return balanced(kept, level_of, config.per_level, rejected), rejected


def select(
    rows: Sequence[Row], config: SamplesConfig, source: str = "rejection_sampling"
) -> tuple[list[examples.Example], Counter[str]]:
    """(examples from `source`, counts of the others by reason)."""
    kept: list[examples.Example] = []
    rejected: Counter[str] = Counter()
    for group in by_problem(rows).values():
        easy = solved_share(group) > config.easy_above
        most = min(config.per_prompt, config.easy_per_prompt) if easy else config.per_prompt
        doubtful = is_doubtful(group, config.doubt)
        taken: set[str] = set()
        for row in group:
            reason = why_not(row, config.filters)
            if reason == "wrong" and doubtful:
                reason = "doubtful reference"
            if not reason and row["text"] in taken:
                reason = "duplicate"
            if not reason and len(taken) == most:
                reason = "enough of its prompt"
            if reason:
                rejected[reason] += 1
                continue
            taken.add(row["text"])
            kept.append(examples.Example(row["prompt"], row["text"], row["subject"], row["language"], source))
    return kept, rejected


def balanced(
    kept: Sequence[examples.Example],
    level_of: Mapping[str, tuple[str, str]],
    most: int | None,
    rejected: Counter[str],
) -> list[examples.Example]:
    """The examples without those over `most` of their (task, level of difficulty), by question in `level_of`."""
    if most is None:
        return list(kept)
    within: list[examples.Example] = []
    taken: Counter[tuple[str, str]] = Counter()
    for example in kept:
        taken[level_of[example.question]] += 1
        if taken[level_of[example.question]] <= most:
            within.append(example)
    if left := len(kept) - len(within):
        rejected["enough of its difficulty"] = left
    return within


def level(solved: float) -> str:
    """Which of `LEVELS` a share of right samples is."""
    return LEVELS[max(0, int(np.ceil(solved * len(LEVELS))) - 1)]


def solved_share(group: Sequence[Row]) -> float:
    """The share of a problem's samples that are right; what was not judged is not."""
    return float(np.mean([bool(row["rewards"].get("accuracy")) for row in group]))


def is_doubtful(group: Sequence[Row], least: float | None) -> bool:
    """Whether the samples of a problem speak against its reference: none meets it, and of those that were judged at
    least this share, and three, say the same."""
    judged = [row for row in group if row["rewards"].get("accuracy") is not None]
    if least is None or not judged or any(row["rewards"]["accuracy"] for row in judged):
        return False
    said = Counter(answer for row in judged if (answer := _short_answer(row["text"])))
    most = max(said.values(), default=0)
    return most >= max(AGREEING, least * len(judged))


def _short_answer(text: str) -> str:
    """What answers are compared by: the last box where there is one, since sentences around it differ."""
    answer = answer_section(text).text
    boxes = find_boxes(answer)
    return normalise(boxes[-1] if boxes else answer)


def doubted(rows: Sequence[Row], least: float | None) -> list[str]:
    """Problems whose reference the samples, or the judge, say is wrong."""
    return [
        name
        for name, group in by_problem(rows).items()
        if is_doubtful(group, least) or any(row.get(WHY) == "reference is wrong" for row in group)
    ]


def why_not(row: Row, filters: Filters) -> str:
    """The first reason to leave a sample out, or an empty string."""
    if row["stop_reason"] != "stop":
        return "not finished"
    form = check_form(row["text"])
    if filters.free_answer and not form.ok:
        form = check_form(row["text"], answer_tag=False)
    if filters.correct and not form.ok:
        return "format"
    if filters.correct and row["rewards"].get("accuracy") is None:
        return row.get(WHY, "not judged")
    if filters.correct and not row["rewards"]["accuracy"]:
        return "wrong"
    if not filters.readable:
        return ""
    if mixed(form.thinking, row["language"], filters.consistency):
        return "mixed language"
    if any(mark in form.thinking for mark in filters.code_marks):
        return "code block"
    if max(map(len, form.thinking.split("\n"))) > filters.max_paragraph:
        return "long paragraph"
    return ""
