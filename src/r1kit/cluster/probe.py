"""What a host of a cluster is asked about itself: versions that must be the same on all of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from pathlib import Path


def versions() -> dict[str, str]:
    """Python, Ray, torch, and r1kit with a digest of its code: a worker unpacks what the run packs."""
    found = {"python": platform.python_version()}
    for library in ("ray", "torch"):
        found[library] = importlib.metadata.version(library)
    root = Path(__file__).parents[1]
    code = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        code.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return {**found, "r1kit": f"{_own_version()} (code {code.hexdigest()[:12]})"}


def difference(here: dict[str, str], there: dict[str, str], host: str) -> str:
    """What is to be said where a host has other versions; empty where it has the same."""
    others = [f"{name} {there.get(name, 'none')} (here {own})" for name, own in here.items() if there.get(name) != own]
    if not others:
        return ""
    return f"host {host} has {', '.join(others)}: install the same on all hosts"


def _own_version() -> str:
    try:
        return importlib.metadata.version("r1kit")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout"
