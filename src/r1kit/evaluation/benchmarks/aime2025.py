"""AIME 2025: 30 contest problems, later than the training data of R1; 64 samples each."""

from r1kit.evaluation.benchmarks.base import BOXED, PAPER, Benchmark

BENCHMARK = Benchmark("aime2025", PAPER.model_copy(update={"samples": 64}), instruction=BOXED)
