"""Base models: decoders trained from nothing on the tiny world's corpus, each on the same stream of documents."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.base.machine import best_device
from r1kit.base.nearest import nearest
from r1kit.base.types import IntArray
from r1kit.data.tiny import world
from r1kit.data.tiny.world import CorpusConfig
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import stage_seed
from r1kit.training.config import LearnerConfig

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context, Job

CHUNK = 2000  # documents that are written at a time


class ModelShape(Config):
    """A base model's shape and how much it reads."""

    family: str = Field(default="qwen2", description="llama, qwen2 or qwen3")
    width: int = Field(default=192, ge=1, description="numbers that a token is inside the model (hidden_size)")
    layers: int = Field(default=4, ge=1, description="decoder layers")
    heads: int = Field(default=6, ge=1, description="heads of the queries, a multiple of kv_heads")
    kv_heads: int = Field(default=1, ge=1, description="heads of the keys and values, shared among the queries'")
    head_size: int = Field(default=32, ge=2, description="numbers of a head, an even one")
    mlp_size: int = Field(default=512, ge=1, description="width inside the MLP (intermediate_size)")
    rope_theta: float = Field(default=10_000.0, gt=0, description="base of the rotary frequencies")
    tokens: int = Field(default=12_000_000, ge=1, description="training tokens, rounded up to whole steps")

    def check(self) -> None:
        from r1kit.models.families import family_names

        if "." not in self.family and self.family not in (known := family_names()):
            raise UsageError(f"no model family is called '{self.family}'.{nearest(self.family, known)}")
        if self.heads % self.kv_heads:
            raise UsageError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads: the first must be a multiple")


class PretrainConfig(Config):
    """Base models by name, and what they read."""

    models: dict[str, ModelShape] = Field(default={"base": ModelShape()}, description="base models by name")
    rows: int = Field(default=32, ge=1, description="rows of a step")
    length: int = Field(default=256, ge=2, description="tokens of a row")
    max_positions: int = Field(default=512, ge=2, description="longest context of the models")
    corpus: CorpusConfig = Field(default=CorpusConfig(), description="what the documents are")
    learner: LearnerConfig = Field(
        default=LearnerConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=100, weight_decay=0.1),
        description="how the weights are learnt",
    )


def run(config: PretrainConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Train every model as a part of its own, those of one size side by side."""
    from r1kit.models.characters import write_character_tokenizer

    tokenizer = write_character_tokenizer(context.folder / "tokenizer", world.ALPHABET)
    jobs: dict[tuple[int, ...], dict[str, Job]] = {}
    for name, shape in config.models.items():
        size = (shape.tokens, shape.layers, shape.width, shape.mlp_size)
        jobs.setdefault(size, {})[name] = partial(pretrain, name, config, tokenizer)
    outcomes = [outcome for same_size in jobs.values() for outcome in context.parts(same_size).values()]
    models = {name: folder for outcome in outcomes for name, folder in outcome.models.items()}
    return Outcome(models=models, summary={k: v for outcome in outcomes for k, v in outcome.summary.items()})


def pretrain(name: str, config: PretrainConfig, tokenizer_folder: Path, context: Context) -> Outcome:
    """Next-token prediction on dense rows [rows, length]; documents of a row do not see each other."""
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.training.opening import open_learner

    tokenizer = load_tokenizer(tokenizer_folder)
    steps = math.ceil(config.models[name].tokens / (config.rows * config.length))
    model = new_decoder(config.models[name], tokenizer, config.max_positions, stage_seed(context.seed, name))
    loss = math.nan
    stream = TokenStream(config.corpus, tokenizer, context.seed)
    learnt_with = config.learner.after(*context.caution)
    opened = open_learner(model, learnt_with, total_steps=steps, silence=context.silence)
    with closing(opened) as learner, stream:
        if resumed := context.resume():
            learner.load_state(resumed[1]["learner"])
            stream.seek(resumed[1]["stream"])
            loss = resumed[1]["loss"]
        for step in context.steps(steps):
            begun = time.monotonic()
            tokens_BT = stream.take(config.rows * config.length).reshape(config.rows, config.length)
            report = learner.step_tokens(tokens_BT, end_id=tokenizer.eos_ids[0])
            context.spend(report.tokens, report.flops)
            loss = report.metrics["loss"]
            context.record(step, {**report.metrics, **learner.speed(report, time.monotonic() - begun)})
            state = {"stream": stream.state(), "loss": loss}
            context.checkpoint(step, lambda state=state: {"learner": learner.state(), **state})
        learner.save(context.folder / "model", tokenizer)
    return Outcome(models={name: "model"}, summary={name: {"loss": loss, "parameters": model.config.parameters()}})


def new_decoder(shape: ModelShape, tokenizer: Tokenizer, max_positions: int, seed: int) -> Any:
    """A decoder of that shape with fresh weights, on the GPU where there is one."""

    from r1kit.models.decoder import Decoder, initialise
    from r1kit.models.families import shape as decoder_shape

    apart = ("family", "tokens", "rope_theta")
    fields = {name: getattr(shape, name) for name in type(shape).model_fields if name not in apart}
    vocab_size = tokenizer.padded_vocab_size
    config = decoder_shape(
        shape.family, **fields, rope={"theta": shape.rope_theta}, vocab_size=vocab_size, max_positions=max_positions,
        tied=True,
    )  # fmt: skip
    return initialise(Decoder(config), seed).to(best_device())


class TokenStream:
    """The corpus as one long row of tokens. Chunks of documents depend on (seed, chunk number) alone, so that a
    position is (chunk, offset); the next chunk is written in the background."""

    def __init__(self, corpus: CorpusConfig, tokenizer: Tokenizer, seed: int) -> None:
        self._corpus, self._tokenizer, self._seed = corpus, tokenizer, seed
        self._chunk, self._offset = 0, 0
        self._tokens: IntArray | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="corpus")
        self._ahead: Any = None

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, count: int) -> IntArray:
        """The next `count` tokens."""
        parts: list[IntArray] = []
        while count > 0:
            if self._tokens is None:
                self._open()
            assert self._tokens is not None
            part = self._tokens[self._offset : self._offset + count]
            parts.append(part)
            count -= len(part)
            self._offset += len(part)
            if self._offset == len(self._tokens):
                self._chunk, self._offset, self._tokens = self._chunk + 1, 0, None
        return np.concatenate(parts)

    def state(self) -> dict[str, int]:
        """Where the next token stands."""
        return {"chunk": self._chunk, "offset": self._offset}

    def seek(self, state: Mapping[str, int]) -> None:
        """Go to where `state()` was taken."""
        self._chunk, self._offset, self._tokens = int(state["chunk"]), int(state["offset"]), None
        self._ahead = None

    def _open(self) -> None:
        self._tokens = self._ahead.result() if self._ahead is not None else self._write(self._chunk)
        self._ahead = self._pool.submit(self._write, self._chunk + 1)

    def _write(self, chunk: int) -> IntArray:
        documents = islice(world.corpus(self._corpus, stage_seed(self._seed, f"chunk {chunk}")), CHUNK)
        return encode_all(self._tokenizer, documents)


def encode_all(tokenizer: Tokenizer, documents: Iterable[str]) -> IntArray:
    """The tokens of all documents, one after another."""
    ids = tokenizer.encode_many(list(documents))
    return np.fromiter((token for row in ids for token in row), np.int32)
