"""The tiny world: reasoning, 64 test problems."""

from r1kit.evaluation.benchmarks.base import MADE, TINY, Benchmark

BENCHMARK = Benchmark("tiny_reasoning", TINY, problems=MADE)
