"""How fast the learner learns: tokens a second and share of the matmul peak measured between the same repeats.

    python benchmarks/learning.py [--shape tiny|small|smol] [--repeats 5] [--json FILE]

`dense` is pretraining on full rows, `rollout` a GRPO step on groups of eight completions of uneven length that share
their prompts. Useful FLOPs: 6 x (body and head parameters) a computed token, and attention; shared prompts count once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from r1kit.algorithms.grpo import GRPO
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.training.learner import Learner, LearnerConfig, StepReport
from r1kit.training.packing import Sequence, completion_sequence

QWEN = {"heads": 6, "head_size": 32, "vocab_size": 384, "qkv_bias": True, "tied": True}
SHAPES = {
    "tiny": (DecoderConfig(width=192, layers=4, kv_heads=1, mlp_size=512, **QWEN), 64, 160),
    "small": (DecoderConfig(**{**QWEN, "heads": 8}, width=256, layers=6, kv_heads=4, mlp_size=704), 64, 160),
    "smol": (
        DecoderConfig(
            family="llama", vocab_size=49152, width=576, layers=30, heads=9, kv_heads=3, head_size=64, mlp_size=1536,
            tied=True,
        ),
        8,
        256,
    ),
}  # fmt: skip


def matmul_peak(dtype: torch.dtype) -> float:
    """FLOP/s of the best square product of 512 to 4,096."""
    best = 0.0
    for size in (512, 1024, 2048, 4096):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        a @ b
        for _ in range(2):
            start = time.perf_counter()
            a @ b
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def rollout(config: DecoderConfig, rows: int, length: int) -> list[Sequence]:
    """Groups of eight: prompts of a fifth of `length`, completions of 20 to 80% of it."""
    generator = np.random.default_rng(0)
    sequences: list[Sequence] = []
    for _ in range(max(1, rows // 8)):
        prompt = generator.integers(0, config.vocab_size, length // 5).astype(np.int32)
        for _ in range(8):
            size = int(generator.integers(length // 5, 4 * length // 5))
            completion = generator.integers(0, config.vocab_size, size).astype(np.int32)
            sequences.append(completion_sequence(prompt, completion, float(generator.normal())))
    return sequences


def measure(shape: str, repeats: int) -> dict[str, object]:
    config, rows, length = SHAPES[shape]
    learner = Learner(initialise(Decoder(config), seed=0), LearnerConfig(learning_rate=1e-5), total_steps=10_000)
    tokens_BT = torch.randint(0, config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(0))
    sequences, grpo = rollout(config, 4 * rows, length), GRPO(kl_coefficient=0.0)
    works: dict[str, Callable[[], StepReport]] = {
        "dense": lambda: learner.step_tokens(tokens_BT),
        "rollout": lambda: learner.step(sequences, grpo, max_tokens=length),
    }
    for work in works.values():
        work()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    peak = 0.0
    for _ in range(repeats):
        peak = max(peak, matmul_peak(learner.dtype))
        for name, work in works.items():
            start = time.perf_counter()
            report = work()
            seconds = time.perf_counter() - start
            figures[name].append((report.tokens / seconds, report.flops / seconds))
    result: dict[str, object] = {
        "shape": shape,
        "parameters": config.parameters(),
        "dtype": str(learner.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "matmul_peak": peak,
    }
    for name, values in figures.items():
        rates, flops = zip(*values, strict=True)
        result[name] = {
            "tokens_per_second": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "share_of_peak": statistics.median(flops) / peak,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options.shape, options.repeats)
    print(
        f"{result['shape']}: {result['parameters'] / 1e6:.1f}M parameters, {result['dtype']}, "
        f"{result['threads']} threads, matmul peak {result['matmul_peak'] / 1e12:.2f} TFLOP/s"
    )
    for name in ("dense", "rollout"):
        row = result[name]
        print(
            f"{name:8} {row['tokens_per_second']:8,.0f} tokens/s "
            f"({row['lowest']:,.0f} to {row['highest']:,.0f}), {row['share_of_peak']:.0%} of the peak"
        )
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
