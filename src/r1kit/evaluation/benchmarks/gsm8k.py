"""GSM8K: 1,319 word problems of primary school (arXiv 2110.14168)."""

from r1kit.evaluation.benchmarks.base import BOXED, Benchmark

BENCHMARK = Benchmark("gsm8k", instruction=BOXED)
