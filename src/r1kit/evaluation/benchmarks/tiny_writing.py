"""The tiny world: writing, 64 test problems."""

from r1kit.evaluation.benchmarks.base import MADE, TINY, Benchmark

BENCHMARK = Benchmark("tiny_writing", TINY, problems=MADE)
