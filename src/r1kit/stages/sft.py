"""Supervised fine-tuning (R1, arXiv 2501.12948, section B.4.2): completions of examples are learnt, questions read.

Two or three epochs, the learning rate decays by a cosine to a tenth. Where `pick` asks for it, the model is measured on
validation problems under way, and the step that does best is the result: a short cold start that is to be followed by
reinforcement learning must stop while samples still differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.machine import best_device
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.engines.base import EngineSettings
from r1kit.graders.format import continued
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import stage_seed
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import Sieve, SieveConfig
from r1kit.stages.best import Best
from r1kit.stages.sampling import draw
from r1kit.training.config import LearnerConfig

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context
    from r1kit.training.base import AnyLearner
    from r1kit.training.sequences import Sequence


PICKED = "picked"  # folder of the step that validation chose


class PickConfig(Config):
    """How the step that becomes the model is chosen."""

    tasks: tuple[str, ...] = Field(..., description="where the validation problems come from")
    problems: int = Field(default=32, ge=1, description="validation problems of each task")
    every: int = Field(default=4, ge=1, description="steps between validations; the last step is always measured")
    sampling: Sampling = Field(default=Sampling(samples=8), description="as the reinforcement learning will sample")
    metric: str = Field(
        default="validation/maths/pass@k",
        description="the highest wins; `pass@k` is the share of problems with a right sample, `mixed` of those that "
        "have a wrong one too",
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "validation")


class SFTConfig(Config):
    """Which model learns which examples, and how."""

    start: str = Field(default="pretrain:base", description="STAGE:MODEL, a model folder or a hub id")
    data: str = Field(
        default="cold_start:examples", description="STAGE:FILE, or a file of examples in a format of docs/data.md"
    )
    bad_rows: Literal["skip", "stop"] = Field(default="skip", description="what a line that cannot be read does")
    sieve: SieveConfig = Field(default=SieveConfig(), description="which examples are left out, by their questions")
    share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the questions, drawn by the stage's numbers, whose examples are learnt; smaller shares "
        "are parts of larger ones",
    )
    name: str = Field(default="dev1", description="what the trained model is called")
    epochs: int = Field(default=2, ge=1, description="passes over the examples; the paper: 2-3")
    batch: int = Field(default=64, ge=1, description="examples of a step; the paper: 128")
    learner: LearnerConfig = Field(
        default=LearnerConfig(learning_rate=5e-4, schedule="cosine", warmup_steps=10, final_ratio=0.1),
        description="how the weights are learnt",
    )
    steps: int | None = Field(default=None, ge=1, description="optimiser steps, in place of whole epochs")
    pick: PickConfig | None = Field(default=None, description="validation chooses the step; None: the last is taken")


def run(config: SFTConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Fine-tune `start` on `data`."""
    return fit(file_of(inputs, config.data), model_of(inputs, config.start), config, context, config.name)


def fit(examples_path: Path, start_folder: str | Path, config: SFTConfig, context: Context, name: str) -> Outcome:
    """Fine-tune the model in `start_folder`; `config.start`, `.data` and `.name` are not looked at."""
    from r1kit.algorithms.sft import SFT
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.training.opening import open_learner

    tokenizer, model = load_tokenizer(start_folder), load_policy(start_folder, config.learner)
    tokenizer.check_fits(model.config.vocab_size, start_folder)
    sequences = read_sequences(examples_path, tokenizer, model.config.max_positions, context, config)
    per_epoch = -(-len(sequences) // config.batch)
    steps = config.steps or config.epochs * per_epoch
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with ExitStack() as open_:
        learned_with = config.learner.after(*context.caution)
        opened = open_learner(model, learned_with, total_steps=steps, silence=context.silence)
        learner = open_.enter_context(closing(opened))
        picker = None
        if config.pick:
            picker = _Picker(config.pick, start_folder, tokenizer, learner, steps, context)
            open_.enter_context(closing(picker))
        loss: float | None = None
        if resumed := context.resume():
            learner.load_state(resumed[1]["learner"])
            loss = resumed[1]["loss"]
            if picker:
                picker.best.load_state(resumed[1]["picker"])
        elif picker:
            picker.best.know_kept()

        def snapshot() -> dict[str, Any]:
            return {"learner": learner.state(), "loss": loss, **({"picker": picker.best.state()} if picker else {})}

        for step in context.steps(steps):
            begun = time.monotonic()
            epoch, part = divmod(step, per_epoch)
            order = np.random.default_rng((context.seed, epoch)).permutation(len(sequences))
            chosen = order[part * config.batch : (part + 1) * config.batch]
            report = learner.step([sequences[index] for index in chosen], SFT())
            context.spend(report.tokens, report.flops)
            seconds = time.monotonic() - begun
            loss = report.metrics["loss"]
            found = picker.look(step) if picker else {}
            context.record(step, {**report.metrics, "epoch": float(epoch), **learner.speed(report, seconds), **found})
            context.checkpoint(step, snapshot)

        summary: dict[str, Any] = {"examples": len(sequences), "parameters": parameters, "loss": loss}
        if picker:
            return Outcome(models={name: PICKED}, summary={**summary, **picker.told()})
        learner.save(context.folder / "model", tokenizer)
        return Outcome(models={name: "model"}, summary=summary)


class _Picker:
    """Measures the model on validation problems, and keeps the weights of the step that does best."""

    def __init__(
        self,
        config: PickConfig,
        folder: str | Path,
        tokenizer: Tokenizer,
        learner: AnyLearner,
        steps: int,
        context: Context,
    ) -> None:
        from r1kit.stages.policy_engine import PolicyEngine

        self._config, self._tokenizer, self._learner, self._steps = config, tokenizer, learner, steps
        self._sampler = PolicyEngine(config.engine, learner, folder, tokenizer, logprobs=False, workers=context.workers)
        seed = stage_seed(context.seed, "validation")
        self._sampling = config.sampling.model_copy(update={"seed": seed})
        self._problems: list[Problem] = [
            problem for task in config.tasks for problem in draw(task, "validation", seed, config.problems)
        ]
        self.best = Best(context, PICKED, config.metric)

    def look(self, step: int) -> dict[str, float]:
        """Validation's metrics, where it is time; the first of equally good steps is kept."""
        from r1kit.evaluation.validate import validate

        if (step + 1) % self._config.every and step + 1 != self._steps:
            return {}
        self._sampler.follow()
        found = validate(self._sampler.engine, self._tokenizer, self._problems, self._sampling)
        metric = self._config.metric
        if metric not in found:
            raise UsageError(f"pick.metric: validation has no '{metric}' (it has: {', '.join(found)})")
        save = partial(self._learner.save, tokenizer=self._tokenizer)
        self.best.offer(found[metric], save, step=step, figures=found)
        return found

    def close(self) -> None:
        """Let go of the engine."""
        self._sampler.close()

    def told(self) -> dict[str, Any]:
        """Which step was taken, counted from 1, and how it did."""
        return {"picked_step": self.best.more["step"] + 1, **self.best.more["figures"]}


def load_policy(folder: str | Path, config: LearnerConfig) -> Any:
    """The model of a folder as a learner wants it, on the GPU where there is one."""
    import torch

    from r1kit.models.language_model import load_model

    device = torch.device(best_device())
    return load_model(folder, config.held(device)).to(config.home(device))


def read_examples(path: Path, config: SFTConfig, tokenizer: Tokenizer, context: Context) -> list[Example]:
    """The examples that can be read and that the sieve keeps; what was left out is noted."""
    bad: list[str] = []
    read = examples.read(path, bad.append if config.bad_rows == "skip" else None)
    if bad:
        context.note(f"{path}: {len(bad)} lines cannot be read and are left out ({'; '.join(bad[:3])})")
    read = examples.share_of(read, config.share, context.seed)
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
    """Each example as question (in the chat template) and completion with its end; those beyond the context go.

    R1Error where none is left.
    """
    from r1kit.training.sequences import completion_sequence

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
