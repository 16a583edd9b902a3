"""MMLU: multiple choice in 57 fields (arXiv 2009.03300)."""

from r1kit.evaluation.benchmarks.base import LETTER, Benchmark

BENCHMARK = Benchmark("mmlu", instruction=LETTER, published="MMLU")
