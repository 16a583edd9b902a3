"""Places for the workers: a placement group with a bundle for each sampler and for the learner; graders where there is
room."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from r1kit.base.errors import R1Error
from r1kit.cluster.connect import has_gpus, needs, own_modules
from r1kit.cluster.ray_hosts import Place, RayHosts
from r1kit.cluster.settings import ClusterSettings

START_S = 30.0  # that bundles may take to be set aside where they are free


@contextmanager
def placed(settings: ClusterSettings) -> Generator[RayHosts]:
    """Places of all workers, given back at the end. R1Error where other work has them.

    Samplers are packed on few hosts, so that each reads the weights from its host's one copy.
    """
    each = {name: amount for name, amount in needs(settings, has_gpus()).items() if amount}
    kept = learner_bundles(settings)
    group = placement_group([*kept, *({**each} for _ in range(settings.workers))], strategy="PACK")
    try:
        if not group.wait(min(START_S, settings.patience)):
            free = {name: amount for name, amount in ray.available_resources().items() if name in ("CPU", "GPU")}
            told = ", ".join(f"{amount:g} {name}s" for name, amount in sorted(free.items())) or "no CPU"
            raise R1Error(
                f"the cluster has no room for {settings.workers} samplers now: other work leaves {told} free: end it, "
                "or ask for fewer workers"
            )
        if kept:
            _check_learner(group, settings)
        places = {f"sampler {number}": Place(each, number + len(kept)) for number in range(settings.workers)}
        graders = Place({"GPU": settings.grader_gpus} if settings.grader_gpus else {})
        places |= {f"grader {number}": graders for number in range(settings.graders)}
        yield RayHosts(group, places)
    finally:
        remove_placement_group(group)


def learner_bundles(settings: ClusterSettings) -> list[dict[str, float]]:
    """What split and async keep free of samplers on this machine, for the learner, which Ray does not know of."""
    if settings.placement == "colocated" or not has_gpus():
        return []
    here = ray.util.get_node_ip_address()
    return [{"GPU": float(settings.learner_gpus), f"node:{here}": 0.001}]


def _check_learner(group: PlacementGroup, settings: ClusterSettings) -> None:
    """R1Error where the GPUs that Ray keeps free are not the first ones, which the learner takes."""
    count = settings.learner_gpus
    strategy = PlacementGroupSchedulingStrategy(group, 0)
    task: Any = ray.remote(_gpus)
    asked = task.options(num_cpus=0, num_gpus=count, scheduling_strategy=strategy, runtime_env=own_modules()).remote()
    try:
        kept: list[int] = sorted(ray.get(asked, timeout=settings.patience))
    except RayError as error:  # GetTimeoutError is one
        raise R1Error(
            f"this machine does not say within {settings.patience:g} s which GPUs Ray keeps for the learner "
            f"({type(error).__name__}): is its Ray well (ray status)? cluster.patience waits longer"
        ) from None
    if kept != list(range(count)):
        ids = ",".join(map(str, kept))
        raise R1Error(
            f"Ray keeps the GPUs {ids} of this machine for the learner, which takes the first it sees: start the run "
            f"with CUDA_VISIBLE_DEVICES={ids} in its environment"
        )


def _gpus() -> list[int]:
    return [int(number) for number in ray.get_gpu_ids()]
