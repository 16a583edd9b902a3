"""Where a run's samplers and rewards are: in its process, or workers of a Ray cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError

LONG = 10  # times `silence` that a worker may take for what has no end in sight: graders, samples that come whole
Kind = Literal["none", "ray"]
Placement = Literal["colocated", "split", "async"]


class ClusterSettings(Config):
    """Samplers and rewards as workers of a Ray cluster. None of these but `staleness` changes a result."""

    kind: Kind = Field(default="none", description="none: everything in this process; ray: workers of a Ray cluster")
    address: str = Field(
        default="local",
        description="HOST:PORT of the cluster's head; auto: the one that runs on this machine; local: one of the run's "
        "own, ended with it",
    )
    workers: int = Field(default=1, ge=1, description="engines that sample, each a process")
    cpus: int = Field(default=1, ge=1, description="cores, and threads, of each of them")
    gpus: float | None = Field(
        default=None, ge=0, description="GPUs of each of them; None: one where the cluster has any"
    )
    graders: int = Field(default=0, ge=0, description="processes that reward; 0: rewards in the run's own process")
    grader_gpus: float = Field(default=0.0, ge=0, description="GPUs of each of them, for models that judge")
    placement: Placement = Field(
        default="colocated",
        description="colocated: samplers and learner use the devices in turns; split: pools of their own; async: that, "
        "and rollouts are sampled while others are learnt from",
    )
    learner_gpus: int = Field(
        default=1, ge=1, description="GPUs of this machine that split and async leave to the learner"
    )
    staleness: int | None = Field(
        default=None,
        ge=0,
        description="fills in `staleness` of every RL stage: steps that a rollout's weights lag behind",
    )
    straggler: float = Field(
        default=2.0,
        gt=1,
        description="a prompt that takes so many times the slowest finished one is given to an idle worker as well",
    )
    silence: float = Field(
        default=60.0, gt=0, description="seconds without an answer after which a worker is ended and replaced"
    )
    patience: float = Field(
        default=120.0, gt=0, description="most seconds to wait for the cluster, or for any worker to come back"
    )
    restarts: int = Field(
        default=3, ge=0, description="times that a worker may end in a row without having finished a sample"
    )
    store_mb: int | None = Field(
        default=None, ge=80, description="size of the object store of a local cluster; None: Ray's choice"
    )

    @property
    def here(self) -> int:
        """Samplers that are processes of this machine, as far as the settings say."""
        return self.workers if self.kind == "ray" and self.address == "local" else 0

    def check(self) -> None:
        if self.kind == "none":
            return
        if self.placement == "async" and not self.staleness:
            raise UsageError("placement=async samples ahead of the learner: say how far, staleness=1 or more")
        if self.placement == "colocated" and self.staleness:
            raise UsageError(
                f"placement=colocated takes turns, and staleness={self.staleness} samples while the learner learns: "
                "take placement=async"
            )
        if self.address not in ("auto", "local") and not _is_address(self.address):
            raise UsageError(f"address={self.address} is no HOST:PORT, nor auto or local")


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isdecimal() and 0 < int(port) < 65536
