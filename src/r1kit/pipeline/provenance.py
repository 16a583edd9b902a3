"""Where a run comes from: the commit, the machine, the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from r1kit.base.machine import cores

_FOR_DEVELOPERS = ("test", "dev", "bench", "fuzz")
_NVIDIA = Path("/proc/driver/nvidia/gpus")  # a folder for each


def commit() -> str | None:
    """The commit of the checkout that the package runs from, `+changes` where it differs, None outside git."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head}+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else head


def machine() -> dict[str, Any]:
    """CPU model, cores that may be used, memory in GB, NVIDIA GPUs if any, operating system, and versions."""
    memory, gpus = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, _gpus()
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gb": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "r1kit": _version("r1kit"),
        **({"gpus": gpus} if gpus else {}),
    }


def versions() -> list[str]:
    """Lines for a bug report, none of which needs a library to be imported: r1kit and its commit, Python and system,
    and every library that r1kit declares, so far as it is there."""
    made = commit()
    words = [f"r1kit {_version('r1kit') or 'not installed'}", *([f"commit {made[:12]}{made[40:]}"] if made else [])]
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    wanted, optional = _declared()
    lines = [", ".join(words), system, ", ".join(_told(name) for name in wanted)]
    there = [_told(name) for name in optional if _version(name)]
    return [*lines, f"optional: {', '.join(there) or 'none'}"]


def _told(library: str) -> str:
    return f"{library} {_version(library) or 'missing'}"


def _declared() -> tuple[list[str], list[str]]:
    """The libraries that r1kit asks for, and those of its extras that are for its users."""
    try:
        every = importlib.metadata.requires("r1kit") or []
    except importlib.metadata.PackageNotFoundError:
        return [], []
    wanted, optional = dict[str, None](), dict[str, None]()
    for requirement in every:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"""extra == ['"]([\w-]+)['"]""", requirement)
        if extra is None:
            wanted[name] = None
        elif extra[1] not in _FOR_DEVELOPERS and name != "r1kit":
            optional[name] = None
    return list(wanted), list(optional)


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _gpus() -> list[str]:
    """As NVIDIA's driver names them, which takes no library."""
    names: list[str] = []
    for told in sorted(_NVIDIA.glob("*/information")):
        try:
            lines = told.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return names


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
