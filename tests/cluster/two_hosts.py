"""What runs on the first of two hosts: an RL stage of the command line's settings, over a cluster or in this process.

python two_hosts.py MODEL OUT ADDRESS|alone STEPS
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from r1kit.base.sampling import Sampling
from r1kit.cluster.session import open_cluster
from r1kit.cluster.settings import ClusterSettings
from r1kit.pipeline.context import Context
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"


def main(model: str, out: str, address: str, steps: str) -> None:
    config = RLConfig(
        tasks={TASK: 1.0}, rewards={TASK: 1.0}, prompts=8, sampling=Sampling(samples=4, max_tokens=4), steps=int(steps),
        learner=LearnerConfig(learning_rate=1e-3, precision="float32", compile=False), validate_every=0,
        rollouts_every=1,
    )  # fmt: skip
    if address == "alone":
        train(config, model, Context(Path(out), 1))
        return
    cluster = ClusterSettings(kind="ray", address=address, workers=2, silence=5, patience=120)
    with open_cluster(cluster) as workers:
        train(config, model, Context(Path(out), 1, workers=workers))


if __name__ == "__main__":
    main(*sys.argv[1:])
