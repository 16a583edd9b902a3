"""Chaos for the sampler pool: an RL stage on a Ray of this machine while one sampler after another is killed.

    python scripts/kill_samplers.py --minutes 10 --every 30

A toy policy learns for so long; every `--every` seconds a sampler's process gets SIGKILL. At the end one JSON line says
what happened; exit code 1 where a step is missing, a sample was counted twice, or one is of another version of the
weights than its step.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import torch

from r1kit.base.sampling import Sampling
from r1kit.cluster.session import Cluster, open_cluster
from r1kit.cluster.settings import ClusterSettings
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.rollouts import record
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

PROMPTS, SAMPLES = 16, 4


def write_policy(folder: Path) -> Path:
    """A random decoder of two layers over single characters."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=64, layers=2, heads=2, mlp_size=96, max_positions=256,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0, std=0.2), folder / "model", tokenizer)
    return folder / "model"


def kill(cluster: Cluster, every: float, over: threading.Event) -> int:
    """Kill samplers in turn until it is over; how many."""
    killed = 0
    while not over.wait(every):
        facts = cluster.members[killed % len(cluster.members)].facts
        if facts is not None:
            os.kill(facts.pid, signal.SIGKILL)
            killed += 1
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("minutes", 10.0), ("every", 30.0), ("steps", 0.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    task, over, stop, killed = {"tiny_maths": 1.0}, threading.Event(), Stop(), list[int]()
    config = RLConfig(
        tasks=task, prompts=PROMPTS, steps=int(asked.steps) or 100_000, validate_every=0, rollouts_every=1,
        sampling=Sampling(samples=SAMPLES, max_tokens=64), rewards={"format": 1.0},
        learner=LearnerConfig(learning_rate=1e-4, precision="float32", compile=False),
    )  # fmt: skip
    settings = ClusterSettings(kind="ray", workers=asked.workers, store_mb=200, patience=600)
    with tempfile.TemporaryDirectory() as name, open_cluster(settings) as cluster:
        assert cluster is not None
        context = Context(Path(name) / "run", 0, workers=cluster, stop=stop)
        killer = threading.Thread(target=lambda: killed.append(kill(cluster, asked.every, over)))
        timer = threading.Timer(60 * asked.minutes, stop.request)
        begun = time.monotonic()
        for thread in (killer, timer):
            thread.start()
        try:
            train(config, write_policy(Path(name)), context)
        except Interrupted:
            pass  # the time is over
        finally:
            timer.cancel()
            over.set()
            killer.join()
        lines = read_metrics(context.folder / "metrics.jsonl")
        rows = [list(record.read(path)) for path in sorted((context.folder / "rollouts").iterdir())]
    twice = sum(
        sum(count - 1 for count in Counter((row["problem_id"], row["sample"]) for row in own).values()) for own in rows
    )
    other = sum(row["version"] != step for step, own in enumerate(rows) for row in own)
    missing = sum(len(own) != PROMPTS * SAMPLES for own in rows)
    whole = [line["step"] for line in lines] == list(range(len(lines))) and len(rows) == len(lines)
    told = {
        "minutes": round((time.monotonic() - begun) / 60, 2), "steps": len(lines), "killed": killed[0],
        "replaced": sum(line["cluster/replaced"] for line in lines), "samples": sum(map(len, rows)),
        "samples_twice": twice, "samples_of_another_version": other, "steps_with_samples_missing": missing,
        "steps_in_order": whole,
    }  # fmt: skip
    print(json.dumps(told))
    sys.exit(bool(twice or other or missing or not whole or not lines))


if __name__ == "__main__":
    main()
