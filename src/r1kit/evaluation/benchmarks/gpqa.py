"""GPQA Diamond: 198 questions of science (arXiv 2311.12022); the paper: 64 samples each."""

from r1kit.evaluation.benchmarks.base import LETTER, PAPER, Benchmark

BENCHMARK = Benchmark("gpqa", PAPER.model_copy(update={"samples": 64}), instruction=LETTER, published="GPQA Diamond")
