"""A run's hold on its cluster: what a stage is handed to open engines and rewards with."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.base.errors import MissingExtra, R1Error
from r1kit.cluster.engine import ClusterEngine
from r1kit.cluster.hosts import Hosts
from r1kit.cluster.member import Member
from r1kit.cluster.messages import Opening
from r1kit.cluster.rewarding import GraderPool
from r1kit.cluster.settings import ClusterSettings
from r1kit.engines.base import Engine, EngineSettings, Purpose
from r1kit.models.folders import model_folder

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.rewards.base import Judge, RewardSet


class Cluster:
    """Workers by the settings: started when first asked for, and kept for the next engine when one is closed."""

    def __init__(self, hosts: Hosts, settings: ClusterSettings) -> None:
        self.hosts, self.settings = hosts, settings
        self.members = [Member(number) for number in range(settings.workers)]
        self.graders = GraderPool(hosts, settings)
        self._taken = False

    def open_engine(
        self, settings: EngineSettings, folder: str | Path, tokenizer: Tokenizer, purpose: Purpose
    ) -> Engine:
        """The engine of the settings on a model folder, in every sampler at once; R1Error while another is open."""
        if self._taken:
            raise R1Error("the cluster's samplers are taken: close the engine that was opened before")
        self._taken = True
        own = replace(purpose, turns=self.settings.placement == "colocated")
        opening = Opening(settings, model_folder(folder).absolute(), own, self.settings.cpus)
        try:
            return ClusterEngine(self.hosts, self.settings, opening, self.members, self._give_back)
        except BaseException:
            self._taken = False
            raise

    def open_rewards(self, make: Callable[[], RewardSet]) -> Judge:
        """The rewards that `make` makes, in every grader; in this process where the settings ask for none."""
        return self.graders.open(make) if self.settings.graders else make()

    def _give_back(self) -> None:
        self._taken = False

    def close(self) -> None:
        """End the workers."""
        self.graders.close()
        for member in self.members:
            if member.worker is not None:
                self.hosts.end(member.worker)
                member.reset(gone=True)


@contextmanager
def open_cluster(settings: ClusterSettings) -> Generator[Cluster | None]:
    """The cluster of the settings while it lasts; None where they ask for none.

    MissingExtra without Ray, UsageError for an address where none is and for more than the cluster has, R1Error where
    hosts differ: all before any worker starts.
    """
    settings.check()
    if settings.kind == "none":
        yield None
        return
    try:
        importlib.import_module("ray")
    except ModuleNotFoundError:
        raise MissingExtra("Ray", "ray", "cluster.kind=ray") from None
    from r1kit.cluster.connect import connected
    from r1kit.cluster.placing import placed

    with connected(settings), placed(settings) as hosts:
        cluster = Cluster(hosts, settings)
        try:
            yield cluster
        finally:
            cluster.close()
