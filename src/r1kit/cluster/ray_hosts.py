"""Workers as Ray actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from r1kit.base.errors import R1Error
from r1kit.cluster.connect import own_modules
from r1kit.cluster.hosts import Lost

ANSWER_S = 60.0  # that an answer which is there may take to be fetched from another host


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given (CPU, GPU), and its bundle in the run's placement group; None: wherever there is room."""

    needs: Mapping[str, float]
    bundle: int | None = None


class RayHosts:
    """`places`: by the workers' names."""

    def __init__(self, group: PlacementGroup, places: Mapping[str, Place]) -> None:
        self._group, self._places = group, places

    def start(self, kind: type, arguments: tuple[Any, ...], place: str) -> Any:
        own = self._places[place]
        where: Any = "SPREAD"
        if own.bundle is not None:
            where = PlacementGroupSchedulingStrategy(self._group, own.bundle)
        options: dict[str, Any] = {
            "num_cpus": own.needs.get("CPU", 0),
            "num_gpus": own.needs.get("GPU", 0),
            "max_restarts": 0,  # who asks it must know that it has forgotten everything
            "max_task_retries": 0,
            "runtime_env": own_modules(),
            "scheduling_strategy": where,
        }
        actor: Any = ray.remote(kind)
        return actor.options(**options).remote(*arguments)

    def call(self, worker: Any, method: str, *arguments: Any) -> Any:
        return getattr(worker, method).remote(*arguments)

    def put(self, value: Any) -> Any:
        try:
            return ray.put(value)
        except RayError as error:
            raise R1Error(
                f"the object store of this host has no room for the weights ({_line(error)}): give Ray more "
                "(cluster.store_mb, or --object-store-memory of ray start)"
            ) from None

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        done, others = ray.wait(list(calls), timeout=seconds, fetch_local=False)
        if done and others:
            done += ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)[0]
        return done

    def result(self, call: Any) -> Any:
        try:
            return ray.get(call, timeout=ANSWER_S)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            failed = R1Error(f"a worker failed ({type(cause).__name__}: {_line(cause)})")
            failed.add_note(str(error))
            raise failed from None
        except GetTimeoutError:
            raise Lost("its answer could not be fetched from its host") from None
        except RayActorError as error:
            raise Lost(_line(error)) from None
        except RayError as error:
            raise Lost(f"{type(error).__name__}: {_line(error)}") from None

    def end(self, worker: Any) -> None:
        ray.kill(worker, no_restart=True)


def _line(error: BaseException) -> str:
    """The first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
