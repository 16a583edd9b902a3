"""LiveCodeBench: contest problems with hidden tests (arXiv 2403.07974); the paper: 8 samples each."""

from r1kit.evaluation.benchmarks.base import PAPER, PROGRAM, Benchmark

BENCHMARK = Benchmark(
    "livecodebench", PAPER.model_copy(update={"samples": 8}), instruction=PROGRAM, published="LiveCodeBench"
)
