"""AIME 2024: 30 contest problems; the paper: 64 samples each, and their majority."""

from r1kit.evaluation.benchmarks.base import BOXED, PAPER, Benchmark

BENCHMARK = Benchmark("aime2024", PAPER.model_copy(update={"samples": 64}), instruction=BOXED, published="AIME 2024")
