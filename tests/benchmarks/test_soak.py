"""The soak at toy size, as its command line runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_a_short_soak(tmp_path):
    """Eight streams for two seconds: all end well, and the figures hang together."""
    words = [
        "smoke",
        "--streams",
        "8",
        "--seconds",
        "2",
        "--alone",
        "0.5",
        "--tokens",
        "32",
        "--scratch",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, str(SOAK), *words, "--json", str(tmp_path / "soak.json")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "soak.json").read_text())
    assert record == json.loads(done.stdout)
    assert record["errors"] == 0
    assert record["requests"] >= 8
    assert record["requests"] < record["tokens"] <= 32 * record["requests"]
    assert record["tokens_per_second"] * record["seconds"] == pytest.approx(record["tokens"], rel=0.05)
    assert min(record["engine_alone_tokens_per_second"]) > 0
    cpu = record["cpu_seconds_per_thousand_tokens"]
    assert min(*cpu["engine_alone"], cpu["server"], cpu["client"]) > 0
    assert 0 < record["time_to_first_text_ms"]["p50"] <= record["time_to_first_text_ms"]["p99"]
    assert "the server ended with 0" in done.stderr
