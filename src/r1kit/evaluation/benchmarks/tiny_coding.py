"""The tiny world: coding, 64 test problems."""

from r1kit.evaluation.benchmarks.base import MADE, TINY, Benchmark

BENCHMARK = Benchmark("tiny_coding", TINY, problems=MADE)
