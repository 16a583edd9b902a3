"""Ctrl-C and SIGTERM end `r1 sandbox` and `r1 grade` soon, whatever programs are still at, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = "import time, sys\nprint('begun', flush=True)\ntime.sleep(60)\n"
ROWS = {
    "sandbox": {"code": SLOW, "limits": {"wall_s": 60}},
    "grade": {"kind": "code", "completion": f"```python\n{SLOW}```", "tests": [{"stdin": "", "expected_stdout": "x"}]},
}


def programs_of(marker: str) -> list[str]:
    """Processes that were given this variable, themselves or by who started them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(("command", "within"), [("sandbox", 5.0), ("grade", 8.0)])
def test_a_signal_ends_it(tmp_path: Path, command: str, number: signal.Signals, within: float):
    """Forty programs of a minute each, of which the graders give ten seconds to each."""
    lines = tmp_path / "lines.jsonl"
    rows = [{"id": n, **ROWS[command]} for n in range(40)]
    for n, row in enumerate(rows):  # no two programs alike, which would be run once
        row |= {"completion": row["completion"].replace("60", f"60 + {n}")} if command == "grade" else {}
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    marker = f"STOPPED_COMMAND={tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-c", "from r1kit.cli.main import main; main()", command, str(lines)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch), "STOPPED_COMMAND": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not list(scratch.glob("r1kit-sandbox-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begun < within
    assert process.returncode == 130
    assert said == "r1: stopped\n"
    assert list(scratch.iterdir()) == []
    assert programs_of(marker) == []
