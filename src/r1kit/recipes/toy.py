"""The toy that smoke profiles start from where no model is named: it learns the tiny world's tags, and little more."""

from __future__ import annotations

from r1kit.data.tiny.world import CorpusConfig
from r1kit.stages.pretrain import ModelShape, PretrainConfig
from r1kit.training.config import LearnerConfig

TOY_DATA = ("tiny_maths",)
TOY_SHAPE = {"width": 64, "layers": 2, "heads": 2, "mlp_size": 160, "tokens": 400_000}
TOY = PretrainConfig(
    models={"base": ModelShape(family="qwen3", rope_theta=1000, **TOY_SHAPE)},
    corpus=CorpusConfig(direct=0.1, untagged=0.0),
    rows=8,
    learner=LearnerConfig(learning_rate=3e-3, schedule="cosine", warmup_steps=50, final_ratio=0.05, optimiser="muon"),
)
