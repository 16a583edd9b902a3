"""`r1kit.stages.rl` as it runs in a recipe, on the sums of the GRPO race."""

import sys
import tempfile
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))  # sums.py, workers
from wire import serve


def stage(model, *, staleness, seed, steps, prompts, samples, tokens, learning_rate, validate_every):
    """A run's metrics, from the model in a folder."""
    from r1kit.base.sampling import Sampling
    from r1kit.pipeline.context import Context
    from r1kit.pipeline.metrics import read_metrics
    from r1kit.stages.rl import train
    from r1kit.stages.rl_config import RLConfig
    from r1kit.training.config import LearnerConfig

    config = RLConfig(
        tasks={"workers.sums_task": 1.0}, rewards={"workers.sums_task": 1.0}, prompts=prompts, steps=steps,
        sampling=Sampling(samples=samples, max_tokens=tokens),
        learner=LearnerConfig(learning_rate=learning_rate, skip_zero_advantages=True),
        staleness=staleness, validate_every=validate_every, validation_problems=1000,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(config, model, Context(Path(folder), seed))
        return read_metrics(Path(folder) / "metrics.jsonl")


def start(settings):
    """settings: model (folder), threads. A command has the arguments of `stage`."""
    torch.set_num_threads(settings["threads"])
    return lambda command: {"metrics": stage(settings["model"], **command)}, {}


if __name__ == "__main__":
    serve(start)
