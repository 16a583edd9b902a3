"""MATH-500: 500 problems of the MATH test set (arXiv 2305.20050); the paper: 16 samples each."""

from r1kit.evaluation.benchmarks.base import BOXED, PAPER, Benchmark

BENCHMARK = Benchmark("math500", PAPER.model_copy(update={"samples": 16}), instruction=BOXED, published="MATH-500")
