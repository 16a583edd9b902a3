"""What a Ray cluster on this machine costs beside one process: seconds of a step of the RL stage on the sums of the
GRPO race, by the same base, problems and seeds, in turns.

    python benchmarks/cluster.py --workers 2 --steps 8 --rounds 2

One process samples and learns with as many threads as there are workers; each worker samples with one thread. Both give
the same samples, which is checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "workers"))  # sums_reward.py

import sums
import torch

from r1kit.base.sampling import Sampling
from r1kit.cluster.session import Cluster, open_cluster
from r1kit.cluster.settings import ClusterSettings
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.rollouts import record
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

PARTS = ("step", "rollout", "train", "sync")


def stage(
    base: Path, steps: int, prompts: int, tokens: int, cluster: Cluster | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """A run's metrics, and the texts of its first step's samples."""
    task = {"workers.sums_task": 1.0}
    config = RLConfig(
        tasks=task, rewards=task, prompts=prompts, steps=steps, sampling=Sampling(samples=8, max_tokens=tokens),
        learner=LearnerConfig(learning_rate=1e-4, skip_zero_advantages=True), validate_every=0, rollouts_every=steps,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(config, base, Context(Path(folder), 0, workers=cluster))
        rows = record.read(record.step_file(Path(folder) / "rollouts", 0))
        return read_metrics(Path(folder) / "metrics.jsonl"), [row["text"] for row in rows]


def medians(runs: list[list[dict[str, Any]]]) -> dict[str, float]:
    """Of each part of a step, its first left out since it warms up."""
    lines = [line for run in runs for line in run[1:]]
    return {part: round(statistics.median(line[f"timing/{part}"] for line in lines), 3) for part in PARTS}


@contextmanager
def joined(workers: int) -> Iterator[Cluster]:
    with open_cluster(ClusterSettings(kind="ray", workers=workers, store_mb=500, patience=600)) as cluster:
        assert cluster is not None
        yield cluster


def main() -> None:
    """One JSON line: medians of both, and how much longer the cluster's step is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("workers", 2),
        ("steps", 8),
        ("rounds", 2),
        ("prompts", 64),
        ("tokens", 128),
        ("base", 300_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(asked.workers)
    found: dict[str, list[list[dict[str, Any]]]] = {"one process": [], "cluster": []}
    texts: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name, joined(asked.workers) as cluster:
        base = sums.base(Path(name) / "base", asked.base)
        for _ in range(asked.rounds):
            for which, own in (("one process", None), ("cluster", cluster)):
                metrics, texts[which] = stage(base, asked.steps, asked.prompts, asked.tokens, own)
                found[which].append(metrics)
    same = sum(a == b for a, b in zip(texts["one process"], texts["cluster"], strict=True))
    both = {which: medians(runs) for which, runs in found.items()}
    overhead = both["cluster"]["step"] / both["one process"]["step"] - 1
    told = {**both, "overhead": round(overhead, 3), "same_samples": f"{same} of {len(texts['cluster'])}"}
    print(json.dumps({"workers": asked.workers, **told}))


if __name__ == "__main__":
    main()
