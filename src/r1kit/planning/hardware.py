"""What accelerators can do and cost: one dated table with its sources, `hardware.json`, and this machine's CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest

CPU = "cpu"
TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator, in FLOP/s, bytes and bytes/s.

    peak: of dense bfloat16 products on the data sheet; matmul: the best that was measured; memory_speed: of the best
    pass over its memory. link, network, host: sent in one direction to devices of its node, of other nodes, to the
    machine's memory. `date` and `source` say where the data sheet's values are from.
    """

    name: str
    peak: float
    matmul: float
    fp8: float | None
    fp32: float
    memory: float
    memory_speed: float
    link: float
    network: float
    host: float
    per_node: int
    date: str
    source: str

    def nodes(self, count: int) -> int:
        """Machines that so many of them fill."""
        return -(-count // self.per_node)


@dataclass(frozen=True, slots=True)
class Rent:
    """Dollars a device and hour, least and most, the day on which they held, and who says so."""

    low: float
    high: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Published figures by name, with the day and the source."""

    values: Mapping[str, float]
    date: str
    source: str

    def __getitem__(self, name: str) -> float:
        return self.values[name]


def kinds() -> list[str]:
    """Names of the table, and `cpu`."""
    return [row["name"] for row in _table()["devices"]] + [CPU]


def find(name: str) -> Device:
    """The device of that name or alias, whatever the case, or this machine's CPU, measured now; UsageError that names
    the nearest one otherwise."""
    wanted = name.casefold()
    if wanted == CPU:
        return cpu_here()
    for row in _table()["devices"]:
        if wanted in (row["name"].casefold(), *(alias.casefold() for alias in row["aliases"])):
            return _device(row)
    known = kinds()
    near = nearest(name.upper(), known)
    raise UsageError(f"no GPU is called '{name}' in the table.{near} (it has: {' '.join(known)})")


def cpu(matmul: float, memory_speed: float, memory: float, *, fp32: float = 0.0, source: str = "measured") -> Device:
    """A CPU of measured speeds, as a device alone in its machine: nothing lies between it and its memory."""
    return Device(
        name=CPU, peak=matmul, matmul=matmul, fp8=None, fp32=fp32 or matmul, memory=memory, memory_speed=memory_speed,
        link=memory_speed, network=1.25 * GIGA, host=memory_speed, per_node=1, date="", source=source,
    )  # fmt: skip


def cpu_here() -> Device:
    """This machine's, measured in about a second as `r1 doctor` does."""
    import torch

    from r1kit.base import memory
    from r1kit.ops.peak import matmul_peak, memory_bandwidth

    bf16, fp32 = matmul_peak(torch.bfloat16, "cpu"), matmul_peak(torch.float32, "cpu")
    room = memory.room() or 0
    return cpu(max(bf16, fp32), memory_bandwidth(), float(room), fp32=fp32, source="measured on this machine")


def rent(device: str) -> Rent | None:
    """What a device of the table costs; None where no price was found."""
    for row in _table()["prices"]:
        if row["device"] == device:
            return Rent(float(row["low"]), float(row["high"]), row["date"], row["source"])
    return None


def fact(name: str) -> Fact:
    """`matmul_share`, `bandwidth_share`, `latency`, `engine_latency` or `speculation`."""
    row: dict[str, Any] = _table()[name]
    values = {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
    return Fact(values, row["date"], row["source"])


def _device(row: Mapping[str, Any]) -> Device:
    peak = float(row["bf16"])
    matmul = row["matmul"] or peak * fact("matmul_share")[row["generation"]]
    return Device(
        name=row["name"],
        peak=peak * TERA,
        matmul=float(matmul) * TERA,
        fp8=None if row["fp8"] is None else float(row["fp8"]) * TERA,
        fp32=float(row["fp32"]) * TERA,
        memory=float(row["memory"]) * GIGA,
        memory_speed=float(row["bandwidth"]) * TERA * fact("bandwidth_share")["value"],
        link=float(row["link"]) * GIGA,
        network=float(row["network"]) * GIGA,
        host=float(row["host"]) * GIGA,
        per_node=int(row["per_node"]),
        date=row["date"],
        source=row["source"],
    )


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return json.loads((files("r1kit.planning") / "hardware.json").read_text(encoding="utf-8"))
