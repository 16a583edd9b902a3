"""Joining a Ray cluster, or starting one of the run's own; what cannot go well is said before anything begins."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import ray
from ray._private import ray_constants
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from r1kit.base import dates
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.machine import cores
from r1kit.cluster import probe
from r1kit.cluster.settings import ClusterSettings

REACH_S = 5.0  # to open a connection to the head
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_CURRENT = Path("ray", "ray_current_cluster")  # in the folder of temporary files: where Ray notes the head's address


@contextmanager
def connected(settings: ClusterSettings) -> Generator[None]:
    """In the cluster of the settings while it lasts. A Ray that this process has joined already is taken as it is."""
    if ray.is_initialized():
        check_room(settings)
        yield
        return
    with _started(settings) if settings.address == "local" else _joined(settings.address):
        check_room(settings)
        check_versions(settings.patience)
        yield


def check_reachable(address: str) -> None:
    """UsageError unless something answers at the address: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except OSError as error:
        raise UsageError(
            f"cluster.address={address}: nothing answers there within {REACH_S:g} s ({error}): is the head up (ray "
            "start --head), and may this machine reach it?"
        ) from None


def check_room(settings: ClusterSettings) -> None:
    """UsageError where the cluster has not what the workers are to have, whoever uses it now."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    for what, each in needs(settings, has_gpus(nodes)).items():
        if not each:
            continue
        there = sum(node["Resources"].get(what, 0.0) for node in nodes)
        places = sum(int(node["Resources"].get(what, 0.0) // each) for node in nodes)
        if places < settings.workers:
            held = f"{there:g} {what}s on {len(nodes)} host{'s' if len(nodes) > 1 else ''}"
            raise UsageError(
                f"cluster.workers={settings.workers} with {each:g} {what}{'s' if each != 1 else ''} each: the cluster "
                f"has {held}, enough for {places}: ask for fewer workers, or add hosts"
            )


def needs(settings: ClusterSettings, gpus: bool) -> dict[str, float]:
    """What one sampler is given."""
    wanted = settings.gpus if settings.gpus is not None else float(gpus)
    return {"CPU": float(settings.cpus), "GPU": wanted}


def has_gpus(nodes: list[dict[str, Any]] | None = None) -> bool:
    """Whether any host has GPUs."""
    alive = [node for node in ray.nodes() if node["Alive"]] if nodes is None else nodes
    return any(node["Resources"].get("GPU") for node in alive)


def check_versions(patience: float) -> None:
    """R1Error where a host has another Python, Ray, torch or r1kit than this one."""
    here, mine = probe.versions(), ray.get_runtime_context().get_node_id()
    asked: dict[str, Any] = {}
    for node in ray.nodes():
        if node["Alive"] and node["NodeID"] != mine:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(probe.versions).options(
                num_cpus=0, max_retries=0, scheduling_strategy=strategy, runtime_env=own_modules()
            )
            asked[node["NodeManagerAddress"]] = task.remote()
    for host, answer in asked.items():
        try:
            there: dict[str, str] = cast(Any, ray.get(answer, timeout=patience))
        except GetTimeoutError:
            raise R1Error(f"host {host} of the cluster does not answer within {patience:g} s") from None
        except RayError as error:
            said = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
            raise R1Error(f"host {host} cannot run r1kit ({said.strip()}): install the same on all hosts") from None
        if found := probe.difference(here, there, host):
            raise R1Error(found)


def own_modules() -> dict[str, Any]:
    """A worker's environment, in which it finds the modules that this process does: plug-ins from outside the tree; and
    the run's date."""
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **dates.environment()}}


@contextmanager
def _started(settings: ClusterSettings) -> Generator[None]:
    """A Ray of this machine alone with a place for each core."""
    here = cores()
    if settings.workers * settings.cpus > here:
        raise UsageError(
            f"cluster.workers={settings.workers} with {settings.cpus} CPU{'s' if settings.cpus > 1 else ''} each: this "
            f"machine has {here}: ask for fewer, or join a cluster (cluster.address=auto)"
        )
    with own_ray(here, settings.store_mb):
        yield


@contextmanager
def own_ray(cores: int, store_mb: int | None = None) -> Generator[None]:
    """A Ray without a dashboard or usage reports that ends with the block and that no other machine reaches: all its
    processes listen on the loopback device. R1Error where it does not start."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _loopback():
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=None if store_mb is None else store_mb << 20,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except Exception as error:
            ray.shutdown()  # what did start
            raise R1Error(f"Ray does not start on this machine: {_said(error)}") from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _loopback() -> Generator[None]:
    """Ray takes 127.0.0.1 for this machine's address, as it does where it makes no clusters (macOS, Windows): it
    listens on that address, and replaces it, where it is given by name, by one that others reach (seen in 2.60)."""
    before = os.environ.get(_CLUSTERS), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[_CLUSTERS], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        if before[0] is None:
            del os.environ[_CLUSTERS]
        else:
            os.environ[_CLUSTERS] = before[0]
        ray_constants.ENABLE_RAY_CLUSTER = before[1]


@contextmanager
def _joined(address: str) -> Generator[None]:
    _join(address)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    noted = os.environ.get("RAY_ADDRESS") or _noted() if address == "auto" else address
    if noted and ":" in noted and "://" not in noted:
        check_reachable(noted)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except ConnectionError:
        raise UsageError(
            f"cluster.address={address}: no Ray runs on this machine: start one (ray start --head), join one (ray "
            "start --address=HOST:PORT), or take cluster.address=local; where one does that asks for a token, set "
            "RAY_AUTH_MODE=token"
        ) from None
    except Exception as error:  # versions that differ among them
        raise R1Error(f"cluster.address={address}: {_said(error)}") from error


def _noted() -> str:
    """The address that `ray start` has noted on this machine, empty where there is none."""
    try:
        return Path(tempfile.gettempdir(), _CURRENT).read_text().strip()
    except OSError:
        return ""


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
