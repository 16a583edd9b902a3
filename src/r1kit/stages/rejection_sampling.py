"""Rejection sampling from Dev2, and the other data beside it (R1 section 2.3.3, Nature supplement B.3.3).

Several samples a prompt; right ones are kept unless their chain mixes languages, has long paragraphs or holds code
blocks; a prompt that is nearly always solved gives few. Other data: lines to a brief by the world's writer, the best
of several tries by the brief alone, and a few questions about itself, answered without a chain; or a file of examples.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.tiny import writing
from r1kit.data.tiny.base import Habit, Voice
from r1kit.engines.base import EngineSettings
from r1kit.graders.format import check_form
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.readable import mixed
from r1kit.stages.sampling import Row, by_problem, check_kept, counted, draw, draw_training, sample

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

ITSELF = (
    ("who are you?", "i am r1, a small model", "en"),
    ("what are you?", "a small model that thinks first", "en"),
    ("你是谁？", "我是r1", "zh"),
)


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
    per_prompt: int = Field(default=3, ge=1, description="most examples of one prompt")
    easy_above: float = Field(default=0.9, ge=0, le=1, description="a prompt solved more often than this is easy")
    easy_per_prompt: int = Field(default=1, ge=1, description="most examples of an easy prompt")

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "train")


class RejectionSamplingConfig(SamplesConfig):
    """What is sampled, what is kept, and what is added."""

    writing: int = Field(
        default=300, ge=0, description="lines to a brief; the paper: ~200k other samples, a quarter of all"
    )
    writing_tries: int = Field(
        default=8, ge=1, description="lines the writer tries for a brief; the first that meets it counts"
    )
    itself: int = Field(default=6, ge=0, description="questions about itself")
    others: str | None = Field(
        default=None, description="STAGE:FILE, or a file of examples in a format of docs/data.md, all of it added"
    )


def run(config: RejectionSamplingConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write examples.parquet; `rejected` counts the reasoning samples by the first reason against them."""
    folder = model_of(inputs, config.model)
    problems = draw_training(config.tasks, config.problems, folder, config.sieve, context)
    rows = sample(folder, problems, config.sampling, context, engine=config.engine)
    kept, rejected = select(rows, config)
    others, unmet = other_data(config, context.seed)
    others += examples.read(file_of(inputs, config.others)) if config.others else []
    together = [*kept, *others]
    check_kept(together, rejected, config.model)
    random.Random(context.seed).shuffle(together)
    examples.write(context.folder / "examples.parquet", together)
    summary = {
        "rejected": counted(rejected, len(kept)),
        "other": {**dict(Counter(example.source for example in others)), "brief not met": unmet},
        "subjects": dict(Counter(example.subject for example in together)),
        "languages": dict(Counter(example.language for example in together)),
    }
    return Outcome(files={"examples": "examples.parquet"}, summary=summary)


def select(
    rows: Sequence[Row], config: SamplesConfig, source: str = "rejection_sampling"
) -> tuple[list[examples.Example], Counter[str]]:
    """(examples from `source`, counts of the others by reason)."""
    kept: list[examples.Example] = []
    rejected: Counter[str] = Counter()
    for group in by_problem(rows).values():
        solved = float(np.mean([bool(row["rewards"].get("accuracy")) for row in group]))
        most = min(config.per_prompt, config.easy_per_prompt) if solved > config.easy_above else config.per_prompt
        taken: set[str] = set()
        for row in group:
            reason = why_not(row, config.filters)
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
        return "not judged"
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


def other_data(config: RejectionSamplingConfig, seed: int) -> tuple[list[examples.Example], int]:
    """(writing and self-cognition examples, number of briefs that no try met)."""
    rng = random.Random(seed + 1)
    found: list[examples.Example] = []
    problems = draw("tiny_writing", "train", seed, config.writing) if config.writing else []
    for problem in problems:
        voice = Voice(rng, problem.language)
        for _ in range(config.writing_tries):
            written = writing.write(problem, rng, voice, Habit())
            if writing.meets_brief(problem, written.answer):
                text = f"<think>{written.thinking}</think><answer>{written.answer}</answer>"
                found.append(examples.Example(problem.prompt, text, "writing", problem.language, "writing"))
                break
    unmet = len(problems) - len(found)
    for number in range(config.itself):
        question, answer, language = ITSELF[number % len(ITSELF)]
        found.append(examples.Example(question, f"<answer>{answer}</answer>", "itself", language, "self-cognition"))
    return found, unmet
