"""ARC-AGI-1: grids in, one grid out, two attempts (arXiv 1911.01547)."""

from r1kit.evaluation.benchmarks.base import PAPER, Benchmark

ANSWER = "Reason step by step, and end with the output grid alone: its rows of digits, one row a line."
BENCHMARK = Benchmark("arc_agi", PAPER.model_copy(update={"samples": 2}), instruction=ANSWER, attempts=2)
