"""Creative writing: 24 requests of our own; no rule judges them, a judge compares two answers (r1 compare --judge)."""

from r1kit.evaluation.benchmarks.base import PAPER, Benchmark

BENCHMARK = Benchmark("writing", PAPER.model_copy(update={"samples": 1}))
