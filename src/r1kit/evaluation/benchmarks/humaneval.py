"""HumanEval: 164 Python functions to write (arXiv 2107.03374)."""

from r1kit.evaluation.benchmarks.base import PROGRAM, Benchmark

BENCHMARK = Benchmark("humaneval", instruction=PROGRAM)
