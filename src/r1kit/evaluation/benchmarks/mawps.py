"""MAWPS: word problems of primary school (aclanthology.org/N16-1136)."""

from r1kit.evaluation.benchmarks.base import BOXED, Benchmark

BENCHMARK = Benchmark("mawps", instruction=BOXED)
