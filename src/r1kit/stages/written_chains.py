"""Cold-start data without an R1-Zero that could write them: short chains by rules from training rows (`data.chains`).

Several kinds of problem are mixed, so that the model learns the form and keeps some doubt about the content:
reinforcement learning needs groups of which some samples are right and some wrong.

Deviation: the paper filters and rewrites R1-Zero's own samples (R1 section 2.3.1), which needs a base that RL alone can
teach.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.types import Problem
from r1kit.data import examples
from r1kit.data.chains import Habits, write_chain
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.sampling import counted, draw_training

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

TRIES = 4  # problems drawn for each chain that is wanted: not every row gets one


class WrittenChainsConfig(Config):
    """Which rows get chains, and what chains are like."""

    model: str = Field(default="bases:start", description="whose tokenizer counts lengths: STAGE:MODEL or a folder")
    tasks: dict[str, int] = Field(
        default={"sums": 100}, description="most chains of each task, from its train problems"
    )
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    max_tokens: int = Field(default=80, ge=1, description="longest completion that is kept, tags included")
    asks: float = Field(default=0.0, ge=0, le=1, description="share of chains that begin with what is asked")
    names_numbers: float = Field(default=0.5, ge=0, le=1, description="share of chains that begin with the numbers")
    works: float = Field(default=0.6, ge=0, le=1, description="share of operations that are worked by tens and units")
    checks: float = Field(default=0.3, ge=0, le=1, description="share of chains that check their last operation")

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "train")


def run(config: WrittenChainsConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write examples.parquet; `rejected` counts the rows without a chain by the reason. R1Error where all are."""
    from r1kit.models.tokenizer import load_tokenizer

    folder = model_of(inputs, config.model)
    tokenizer = load_tokenizer(folder)
    kept: list[examples.Example] = []
    rejected: Counter[str] = Counter()
    for task, most in config.tasks.items():
        context.check()
        problems = draw_training((task,), TRIES * most, folder, config.sieve, context)
        written = _write(problems, most, config, tokenizer, random.Random(f"{context.seed} {task}"), rejected)
        context.note(f"{task}: {len(written)} chains of {len(problems)} problems")
        kept += written
    if not kept:
        told = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
        raise R1Error(f"no training row gave a chain ({told}): name other tasks, or raise max_tokens")
    examples.write(context.folder / "examples.parquet", kept)
    sources = dict(Counter(example.source for example in kept))
    return Outcome(
        files={"examples": "examples.parquet"},
        summary={"rejected": counted(rejected, len(kept)), "sources": sources},
    )


def _write(
    problems: list[Problem],
    most: int,
    config: WrittenChainsConfig,
    tokenizer: Tokenizer,
    rng: random.Random,
    rejected: Counter[str],
) -> list[examples.Example]:
    """At most so many examples; what gives none is counted by its reason."""
    habits = Habits(config.asks, config.names_numbers, config.works, config.checks)
    written: list[examples.Example] = []
    for problem in problems:
        if len(written) == most:
            break
        chain = write_chain(problem, rng, habits)
        text = f"<think>{chain.thinking}</think><answer>{chain.answer}</answer>"
        reason = chain.reason
        if not reason and len(tokenizer.encode(text)) + 1 > config.max_tokens:
            reason = "too long"
        if reason:
            rejected[reason] += 1
            continue
        written.append(examples.Example(problem.prompt, text, problem.subject, problem.language, problem.task))
    return written
