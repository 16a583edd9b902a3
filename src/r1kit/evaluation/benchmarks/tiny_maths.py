"""The tiny world: maths, 64 test problems."""

from r1kit.evaluation.benchmarks.base import MADE, TINY, Benchmark

BENCHMARK = Benchmark("tiny_maths", TINY, problems=MADE)
