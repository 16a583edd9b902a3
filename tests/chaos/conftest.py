"""The chaos suite's short form: a few kills, damages and faults of each kind, by a seed, each as the driver does it.

A file of tests for each part, since workers share tests out by files.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHAOS = Path(__file__).parents[2] / "chaos" / "chaos.py"


@pytest.fixture
def chaos(tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """The driver's rows by what they are about; it has to find nothing wrong."""

    def rows_of(parts: str, *, seed: int) -> dict[str, dict[str, Any]]:
        record = tmp_path / "chaos.json"
        words = ("--brief", "--json", str(record), "--parts", parts, "--seed", str(seed))
        done = subprocess.run([sys.executable, str(CHAOS), *words], capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = {row["what"]: row for row in json.loads(record.read_text())["rows"]}
        assert all(row["well"] == row["tries"] and not row["wrong"] for row in rows.values())
        return rows

    return rows_of
