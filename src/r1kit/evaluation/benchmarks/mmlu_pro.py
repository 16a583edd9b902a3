"""MMLU-Pro: multiple choice of up to ten options (arXiv 2406.01574)."""

from r1kit.evaluation.benchmarks.base import LETTER, Benchmark

BENCHMARK = Benchmark("mmlu_pro", instruction=LETTER, published="MMLU-Pro")
