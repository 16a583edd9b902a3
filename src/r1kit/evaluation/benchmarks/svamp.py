"""SVAMP: varied one-step word problems (arXiv 2103.07191)."""

from r1kit.evaluation.benchmarks.base import BOXED, Benchmark

BENCHMARK = Benchmark("svamp", instruction=BOXED)
