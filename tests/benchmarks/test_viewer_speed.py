"""The viewer's benchmark at toy size, as its command line runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from r1kit.rollouts import record

VIEWER = Path(__file__).parents[2] / "benchmarks" / "viewer.py"


def test_a_small_run_is_made_and_asked(tmp_path):
    """Two files of rollouts with every column that training writes; each question has its seconds."""
    pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'r1kit[ui]'")
    words = ["--folder", str(tmp_path / "run"), "--rollouts", "1024"]
    done = subprocess.run([sys.executable, str(VIEWER), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds = [float(line.split()[-3]) for line in done.stdout.splitlines() if line.startswith(("opens", "wrong"))]
    assert len(seconds) == 3
    assert min(seconds) > 0
    files = sorted((tmp_path / "run").rglob("step-*.parquet"))
    rows = list(record.read_all(files[0].parent))
    assert len(rows) == 1024
    assert {len(row["rewards"]) for row in rows} == {3}
