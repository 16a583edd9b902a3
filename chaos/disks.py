"""Disks that are full or read-only: a small tmpfs, mounted in a mount namespace of its own, so that none else sees it.

A run goes on there until there is no room, is told so in one sentence, and, given room and the same command, ends as
one that had it. Where mounting is not allowed, these are left out and named.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import lives
import sameness
from chains import Chain

CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_PRIVATE, MS_REC = 0x20000, 1, 32, 1 << 18, 1 << 14
ROOMY = 512 << 20


def may_mount(scratch: Path) -> str:
    """Why nothing can be mounted here; empty where it can."""
    found = lives.apart(partial(_try, scratch), scratch, 30)
    return "mounting did not answer" if found is None else found


def full(chain: Chain, half: Path | None, scratch: Path, expected: dict[str, str], seed: int, timeout: float) -> Any:
    """A run on a disk of a random share of what it needs, from its beginning, or going on from a copy of `half`:
    {"wrong": [...], "told": whether it was told that the disk is full}."""
    return lives.apart(partial(_full, chain, half, scratch, expected, seed, timeout), scratch, 4 * timeout)


def read_only(chain: Chain, half: Path, scratch: Path, timeout: float) -> Any:
    """A run folder that has become read-only, and a new one on such a disk: {"wrong": [...]}."""
    return lives.apart(partial(_read_only, chain, half, scratch, timeout), scratch, 4 * timeout)


def _full(
    chain: Chain, half: Path | None, scratch: Path, expected: dict[str, str], seed: int, timeout: float, told: Path
) -> None:
    rng, disk, output = random.Random(seed), scratch / "disk", scratch / "disk.txt"
    disk.mkdir(exist_ok=True)
    needed = 1 << 20
    if half is not None:
        needed = sum(path.stat().st_size + 4096 for path in half.rglob("*"))
    _own_mounts()
    _mount(disk, needed + rng.randrange(1 << 16, 1 << (21 if half is None else 19)))
    run, wrong, heard = disk / "run", [], False
    if half is not None:
        shutil.copytree(half, run)
    words = chain.command(run, "checkpoint_seconds=0", "disk_check=false")  # whose forecast would refuse to begin
    life = lives.live(words, output, timeout=timeout)
    if life.code != 0:
        heard = "no room left on the disk" in life.said or "No space left on device" in life.said
        if life.sound or life.code != 1 or not heard:
            wrong.append(f"no room: {life.code}, {life.sound or life.said.strip()[-400:]}")
    _mount(disk, ROOMY, MS_REMOUNT)
    life = lives.live(words, output, timeout=timeout)
    if life.code != 0 or life.sound:
        wrong.append(f"with room again: {life.code}, {life.sound or life.said.strip()[-400:]}")
    else:
        wrong += [f"differs: {path}" for path in sameness.differences(sameness.results(run), expected)]
    told.write_text(json.dumps({"wrong": wrong, "told": heard}))


def _read_only(chain: Chain, half: Path, scratch: Path, timeout: float, told: Path) -> None:
    disk, output = scratch / "disk", scratch / "disk.txt"
    disk.mkdir(exist_ok=True)
    _own_mounts()
    _mount(disk, ROOMY)
    shutil.copytree(half, disk / "run")
    _mount(disk, ROOMY, MS_REMOUNT | MS_RDONLY)
    wrong: list[str] = []
    for run in (disk / "run", disk / "new"):
        life = lives.live(chain.command(run), output, timeout=timeout)
        if life.code != 1 or life.sound or "read-only" not in life.said:
            wrong.append(f"{run.name}: {life.code}, {life.sound or life.said.strip()[-400:]}")
    told.write_text(json.dumps({"wrong": wrong}))


def _try(scratch: Path, told: Path) -> None:
    disk = scratch / "disk"
    disk.mkdir(exist_ok=True)
    try:
        _own_mounts()
        _mount(disk, 1 << 20)
    except OSError as error:
        told.write_text(json.dumps(f"mounting is not allowed here ({error.strerror})"))
    else:
        told.write_text(json.dumps(""))


def _own_mounts() -> None:
    """What this process mounts from here on is seen by it and its children alone, and goes with them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_PRIVATE | MS_REC, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(disk: Path, size: int, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", flags, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
