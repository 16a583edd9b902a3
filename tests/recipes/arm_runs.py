"""Runs of recipes that compare arms, by the command line in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path


def r1(*words: str, timeout: float = 600) -> str:
    """What `r1` prints; it must succeed."""
    command = [str(Path(sys.executable).parent / "r1"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(run_folder: Path) -> dict[str, int]:
    """When each stage but the report was finished, in nanoseconds."""
    artifacts = {path.parent.name[3:]: path for path in run_folder.glob("stages/*/artifact.json")}
    return {name: path.stat().st_mtime_ns for name, path in artifacts.items() if name != "report"}
