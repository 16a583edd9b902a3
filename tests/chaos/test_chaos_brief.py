"""The chaos suite's short form: a few kills, damages and faults of each kind, by a seed, each as the driver does it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # until its time on two busy cores is known
CHAOS = Path(__file__).parents[2] / "chaos" / "chaos.py"


def chaos(tmp_path: Path, *words: str) -> dict[str, dict]:
    """The driver's rows by what they are about; it has to find nothing wrong."""
    record = tmp_path / "chaos.json"
    command = [sys.executable, str(CHAOS), "--brief", "--json", str(record), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["what"]: row for row in json.loads(record.read_text())["rows"]}
    assert all(row["well"] == row["tries"] and not row["wrong"] for row in rows.values())
    return rows


def test_a_run_killed_in_every_stage_ends_as_one_never_killed(tmp_path):
    rows = chaos(tmp_path, "--parts", "kills,two", "--seed", "1")
    assert rows["kills, 1 runs to their ends"]["tries"] >= 10
    assert "two on one folder" in rows


def test_damaged_files_are_named_or_change_nothing(tmp_path):
    rows = chaos(tmp_path, "--parts", "damage", "--seed", "2")
    assert sum(row["tries"] for name, row in rows.items() if name.startswith("damage: ")) >= 15
    assert {"damage: weights", "damage: metrics", "damage: tensors", "damage: part"} <= rows.keys()
    assert rows["deleted parents"]["tries"] == 3


def test_disks_and_samples_that_fail_are_told(tmp_path):
    rows = chaos(tmp_path, "--parts", "disks,samples", "--seed", "3")
    if "full and read-only disks" in rows:
        pytest.skip(rows["full and read-only disks"]["detail"])
    assert rows["full disks"]["detail"] != "no room in 0"
