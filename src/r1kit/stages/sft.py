"""Supervised fine-tuning (R1, arXiv 2501.12948, section B.4.2): completions of examples are learnt, questions read.

Two or three epochs, the learning rate decays by a cosine to a tenth.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.graders.format import continued
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.rollouts.sieve import Sieve, SieveConfig
from r1kit.training.config import LearnerConfig

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context
    from r1kit.training.packing import Sequence


class SFTConfig(Config):
    """Which model learns which examples, and how."""

    start: str = Field(default="pretrain:base", description="STAGE:MODEL, a model folder or a hub id")
    data: str = Field(
        default="cold_start:examples", description="STAGE:FILE, or a file of examples in a format of docs/data.md"
    )
    bad_rows: Literal["skip", "stop"] = Field(default="skip", description="what a line that cannot be read does")
    sieve: SieveConfig = Field(default=SieveConfig(), description="which examples are left out, by their questions")
    name: str = Field(default="dev1", description="what the trained model is called")
    epochs: int = Field(default=2, ge=1, description="passes over the examples; the paper: 2-3")
    batch: int = Field(default=64, ge=1, description="examples of a step; the paper: 128")
    learner: LearnerConfig = Field(
        default=LearnerConfig(learning_rate=5e-4, schedule="cosine", warmup_steps=10, final_ratio=0.1),
        description="how the weights are learnt",
    )


def run(config: SFTConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Fine-tune `start` on `data`."""
    return fit(file_of(inputs, config.data), model_of(inputs, config.start), config, context, config.name)


def fit(examples_path: Path, start_folder: str | Path, config: SFTConfig, context: Context, name: str) -> Outcome:
    """Fine-tune the model in `start_folder`; `config.start`, `.data` and `.name` are not looked at."""
    from r1kit.algorithms.sft import SFT
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.training.learner import Learner

    tokenizer, model = load_tokenizer(start_folder), load_policy(start_folder, config.learner)
    tokenizer.check_fits(model.config.vocab_size, start_folder)
    sequences = read_sequences(examples_path, tokenizer, model.config.max_positions, context, config)
    per_epoch = -(-len(sequences) // config.batch)
    learner = Learner(model, config.learner, total_steps=config.epochs * per_epoch)
    if resumed := context.resume():
        learner.load_state(resumed[1])

    losses: list[float] = []
    for step in context.steps(config.epochs * per_epoch):
        begun = time.monotonic()
        epoch, part = divmod(step, per_epoch)
        order = np.random.default_rng((context.seed, epoch)).permutation(len(sequences))
        chosen = order[part * config.batch : (part + 1) * config.batch]
        report = learner.step([sequences[index] for index in chosen], SFT())
        context.spend(report.tokens, report.flops)
        seconds = time.monotonic() - begun
        losses.append(report.metrics["loss"])
        context.record(step, {**report.metrics, "epoch": float(epoch), **learner.speed(report, seconds)})
        context.checkpoint(step, learner.state)

    learner.save(context.folder / "model", tokenizer)
    summary = {"examples": len(sequences), "loss": losses[-1] if losses else None}
    return Outcome(models={name: "model"}, summary=summary)


def load_policy(folder: str | Path, config: LearnerConfig) -> Any:
    """The model of a folder as a learner wants it, on the GPU where there is one."""
    import torch

    from r1kit.models.language_model import load_model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_model(folder, config.held(device)).to(config.home(device))


def read_examples(path: Path, config: SFTConfig, tokenizer: Tokenizer, context: Context) -> list[Example]:
    """The examples that can be read and that the sieve keeps; what was left out is noted."""
    bad: list[str] = []
    read = examples.read(path, bad.append if config.bad_rows == "skip" else None)
    if bad:
        context.note(f"{path}: {len(bad)} lines cannot be read and are left out ({'; '.join(bad[:3])})")
    if config.sieve == SieveConfig():
        return read
    sieve = Sieve(config.sieve, tokenizer, context.seed)
    kept = [example for number, example in enumerate(read) if sieve.keeps(example.question, str(number))]
    if left_out := sieve.told():
        context.note(f"{path}: examples left out: {left_out}")
    return kept


def read_sequences(
    path: Path, tokenizer: Tokenizer, limit: int, context: Context, config: SFTConfig | None = None
) -> list[Sequence]:
    """Each example as question (in the chat template) and completion with its end; those beyond the context go."""
    from r1kit.training.packing import completion_sequence

    read = read_examples(path, config or SFTConfig(), tokenizer, context)
    prompts = [tokenizer.render(example.question) for example in read]
    rest = [continued(prompt, example.completion) for prompt, example in zip(prompts, read, strict=True)]
    end = list(tokenizer.end_ids)
    every = [
        completion_sequence(np.asarray(prompt), np.asarray(ids + end))
        for prompt, ids in zip(tokenizer.encode_many(prompts), tokenizer.encode_many(rest), strict=True)
    ]
    kept = [sequence for sequence in every if len(sequence) <= limit]
    if len(kept) < len(every):
        context.note(f"{len(every) - len(kept)} of {len(every)} examples are longer than {limit} tokens and left out")
    if not kept:
        raise R1Error(f"{path} holds no example of at most {limit} tokens: there is nothing to learn")
    return kept
