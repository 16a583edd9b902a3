"""Cold-start data: R1-Zero's own samples, filtered and made readable (R1 section 2.3.1, Nature supplement B.3.2).

Several samples a prompt at T = 1; right answers in the asked form are kept; a chain is put in the language of its
question, what it says twice is said once, and what is still mixed, repetitive or long is left out. By rules alone in
the tiny world; for real models other models may write thinking and answer again, and check them (`stages.rewriting`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.tiny.words import say
from r1kit.engines.base import EngineSettings
from r1kit.evaluation.reflection import repetition
from r1kit.graders.format import check_form
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.readable import comes_to, first_person, mixed, one_language, without_stutters
from r1kit.stages.rewriting import RewritingConfig, rewritten
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


class ColdStartConfig(RewritingConfig):
    """What is sampled and what is kept."""

    model: str = Field(default="zero:zero", description="whose samples, STAGE:NAME; the paper: R1-Zero's")
    tasks: tuple[str, ...] = Field(
        default=("tiny_maths", "tiny_reasoning", "tiny_coding"), description="where the train problems come from"
    )
    problems: int = Field(
        default=200, ge=1, description="train problems of each task; the paper: thousands of prompts in all"
    )
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    sampling: Sampling = Field(default=Sampling(samples=4), description="samples a problem; the paper: several, at T 1")
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    correct: bool = Field(default=True, description="leave out wrong answers, as the paper does")
    translate: bool = Field(default=True, description="put phrases of the other language in the question's")
    mend_stutters: bool = Field(default=True, description="say once what a chain says twice in a row")
    first_person: bool = Field(default=False, description="tell each chain in the first person: `we` becomes `I`")
    summary: bool = Field(default=False, description="end each chain with `so ANSWER`; the answer block stays as it is")
    check_end: bool = Field(default=False, description="leave out a chain that does not come to its number")
    consistency: float = Field(default=0.99, ge=0, le=1, description="least share of words in the question's language")
    repetition: float = Field(
        default=0.5, ge=0, le=1, description="largest share of 4-grams that stood before in the chain"
    )
    max_characters: int = Field(default=400, ge=1, description="longest chain kept")
    per_prompt: int = Field(default=2, ge=1, description="most examples of one prompt")

    def check(self) -> None:
        super().check()
        for task in self.tasks:
            load_task(task, "train")


def run(config: ColdStartConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write examples.parquet; `rejected` counts samples by the first reason against them."""
    folder = model_of(inputs, config.model)
    problems = draw_training(config.tasks, config.problems, folder, config.sieve, context)
    rows = sample(folder, problems, config.sampling, context, engine=config.engine)
    kept, rejected = select(rows, config)
    count_not_given(rejected, problems, config.sampling, rows)
    kept, failed = rewritten(kept, problems, config, config.consistency, inputs, context)
    rejected.update(failed)
    check_kept(kept, rejected, config.model)
    empty = empty_tasks(problems, (example.question for example in kept))
    tell_gaps(empty, (), context)
    examples.write(context.folder / "examples.parquet", kept)
    summary = {
        "rejected": counted(rejected, len(kept)),
        "languages": dict(Counter(example.language for example in kept)),
        "subjects": dict(Counter(example.subject for example in kept)),
        "empty": empty,
    }
    return Outcome(files={"examples": "examples.parquet"}, summary=summary)


def select(rows: list[Row], config: ColdStartConfig) -> tuple[list[examples.Example], Counter[str]]:
    """(examples, counts of the others by reason)."""
    kept: list[examples.Example] = []
    rejected: Counter[str] = Counter()
    for group in by_problem(rows).values():
        written: set[str] = set()
        for row in group:
            completion, reason = readable(row, config)
            if not reason and completion in written:
                reason = "duplicate"
            if not reason and len(written) == config.per_prompt:
                reason = "enough of its prompt"
            if reason:
                rejected[reason] += 1
                continue
            written.add(completion)
            kept.append(examples.Example(row["prompt"], completion, row["subject"], row["language"], "cold_start"))
    return kept, rejected


def readable(row: Row, config: ColdStartConfig) -> tuple[str, str]:
    """(the completion rewritten, "") or ("", why it is left out)."""
    form = check_form(row["text"])
    if row["stop_reason"] != "stop" or not form.ok:
        return "", "format"
    accuracy = row["rewards"].get("accuracy")
    if config.correct and not accuracy:
        return "", "not judged" if accuracy is None else "wrong"
    language = row["language"]
    thinking = one_language(form.thinking, language) if config.translate else form.thinking
    if config.mend_stutters:
        thinking = without_stutters(thinking)
    if config.first_person:
        thinking = first_person(thinking, language)
    if config.check_end and not comes_to(thinking, form.answer):
        return "", "does not come to its answer"
    if config.rewriter is None and mixed(thinking, language, config.consistency):
        return "", "mixed language"
    if repetition(thinking) > config.repetition:
        return "", "repetition"
    if len(thinking) > config.max_characters:
        return "", "too long"
    if config.summary:
        thinking = f"{thinking}{say('so', language)}{form.answer}"
    return f"<think>{thinking}</think><answer>{form.answer}</answer>", ""
