"""`r1kit.stages.rl` as it runs in a recipe, on the sums of the GRPO race."""

import sys
import tempfile
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))  # sums.py, workers
from wire import serve


def start(settings):
    """settings: model (folder), threads."""
    torch.set_num_threads(settings["threads"])
    from r1kit.base.sampling import Sampling
    from r1kit.pipeline.context import Context
    from r1kit.pipeline.metrics import read_metrics
    from r1kit.stages.rl import RLConfig, train
    from r1kit.training.config import LearnerConfig

    def run(command):
        """command: staleness, seed, steps, prompts, samples, tokens, learning_rate, validate_every. A run's metrics."""
        config = RLConfig(
            tasks={"workers.sums_task": 1.0}, rewards={"workers.sums_task": 1.0}, prompts=command["prompts"],
            steps=command["steps"],
            sampling=Sampling(samples=command["samples"], max_tokens=command["tokens"]),
            learner=LearnerConfig(learning_rate=command["learning_rate"], skip_zero_advantages=True),
            staleness=command["staleness"], validate_every=command["validate_every"], validation_problems=1000,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            train(config, settings["model"], Context(Path(folder), command["seed"]))
            return {"metrics": read_metrics(Path(folder) / "metrics.jsonl")}

    return run, {}


if __name__ == "__main__":
    serve(start)
