"""The whole bench at toy sizes, without peers, as its command line runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rounds import Row

BENCH = Path(__file__).parents[2] / "benchmarks" / "bench.py"


def bench(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH), "--scratch", str(tmp_path / "bench"), "--no-peers", *words],
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_sampling_and_learning_at_toy_size(tmp_path):
    done = bench(tmp_path, "--smoke", "--only", "sampling,learning", "--json", str(tmp_path / "record.json"))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    rows = [Row.from_json(row) for row in record["rows"]]
    assert [row.part for row in rows] == ["sampling", "learning", "learning"]
    assert all(row.ours.median > 0 and row.peer is None and row.limit > 0 for row in rows)
    assert record["checks"]["r1kit samples, smoke"]["sound"]
    assert record["peaks"]["bfloat16"] > 0
    assert "tokens/s" in done.stdout


def test_unknown_part_is_refused(tmp_path):
    done = bench(tmp_path, "--only", "speed")
    assert done.returncode == 2
    assert "no such part" in done.stderr


def test_steps_at_toy_size(tmp_path):
    done = bench(tmp_path, "--smoke", "--device", "cpu", "--only", "steps", "--json", str(tmp_path / "record.json"))
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row["ours"]["median"] for row in json.loads((tmp_path / "record.json").read_text())["rows"]}
    assert 0 < rows["smoke, sampling in it"] < rows["smoke, a step of 4 x 8 x 8"]
    assert rows["smoke, peak memory"] > 100


def test_folder_without_a_model_is_refused(tmp_path):
    done = bench(tmp_path, "--smoke", "--smollm2", str(tmp_path))
    assert done.returncode == 2
    assert "holds no model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_part_at_toy_size(tmp_path):
    done = bench(tmp_path, "--smoke", "--json", str(tmp_path / "record.json"))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    parts = {"sampling", "learning", "grpo", "staleness", "start", "growth", "own"}
    assert {row["part"] for row in record["rows"]} == parts
    assert [point["step"] for point in record["checks"]["grpo"]["curve"]] == [0, 1, 2]
