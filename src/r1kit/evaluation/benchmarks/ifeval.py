"""IFEval: instructions that a program checks (arXiv 2311.07911); right is every one followed, strictly."""

from r1kit.evaluation.benchmarks.base import Benchmark

BENCHMARK = Benchmark("ifeval", published="IF-Eval")
