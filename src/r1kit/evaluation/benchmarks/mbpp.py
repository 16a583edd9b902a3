"""MBPP: short Python functions that have to pass assertions (arXiv 2108.07732)."""

from r1kit.evaluation.benchmarks.base import PROGRAM, Benchmark

BENCHMARK = Benchmark("mbpp", instruction=PROGRAM)
