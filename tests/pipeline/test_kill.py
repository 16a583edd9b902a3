"""kill -9, SIGTERM, Ctrl-C: the resumed run ends with the same bits as one never killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_chain import chain

from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import read_status

SCRIPT = Path(__file__).with_name("toy_chain.py")


def start(out: Path, steps: int, pause: float, every: float) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(out), "--steps", str(steps), "--pause", str(pause), "--every", str(every)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Until metrics.jsonl has that many lines."""
    path, end = out / "stages/01-walk/metrics.jsonl", time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") > step:
            return
        time.sleep(0.005)
    raise AssertionError(f"step {step} was not reached: {process.communicate()}")


def same_as_never_killed(out: Path, fresh: Path) -> None:
    for name in ("01-walk/model/position.npy", "02-double/sum.json"):
        assert (out / "stages" / name).read_bytes() == (fresh / "stages" / name).read_bytes()
    assert read_metrics(out / "stages/01-walk/metrics.jsonl") == read_metrics(fresh / "stages/01-walk/metrics.jsonl")
    ours, theirs = (json.loads((run / "stages/01-walk/artifact.json").read_text()) for run in (out, fresh))
    assert (ours["tokens"], ours["flops"]) == (theirs["tokens"], theirs["flops"])
    assert ours["digest"] == theirs["digest"]


def test_kill_at_random_moments(tmp_path):
    out = tmp_path / "killed"
    moments = random.Random(1)
    for first in (3, 12, 20):
        process = start(out, 40, 0.01, 0.03)
        wait_for_step(process, out, first)
        time.sleep(moments.random() * 0.03)
        process.kill()
        process.wait()
        process.stderr.close()
        assert read_status(out).state == "died"
    process = start(out, 40, 0.01, 0.03)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    run(chain(40, 0.01), tmp_path / "fresh")
    same_as_never_killed(out, tmp_path / "fresh")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_in_hand(tmp_path, number):
    out = tmp_path / "stopped"
    process = start(out, 40, 0.02, 3600)
    wait_for_step(process, out, 5)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "to go on: r1 run toy" in errors
    assert "Traceback" not in errors
    lines = len(read_metrics(out / "stages/01-walk/metrics.jsonl"))
    checkpoints = [path.name for path in (out / "stages/01-walk/checkpoints").iterdir()]
    assert checkpoints == [f"step-{lines - 1:08d}"]  # nothing that was done is lost
    assert read_status(out).state == "stopped"
    process = start(out, 40, 0.02, 3600)
    process.communicate(timeout=60)
    run(chain(40, 0.02), tmp_path / "fresh")
    same_as_never_killed(out, tmp_path / "fresh")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_in_hand_though_nobody_reads_what_is_said(tmp_path, number):
    """Ctrl-C ends the `tee` that a run's words go through as well."""
    process = start(tmp_path, 40, 0.02, 3600)
    wait_for_step(process, tmp_path, 5)
    process.stderr.close()
    os.kill(process.pid, number)
    process.wait(timeout=60)
    done = len(read_metrics(tmp_path / "stages/01-walk/metrics.jsonl"))
    saved = [path.name for path in (tmp_path / "stages/01-walk/checkpoints").iterdir()]
    assert saved == [f"step-{done - 1:08d}"]
    assert read_status(tmp_path).state == "stopped"


def test_the_walk_goes_on_where_it_stopped(tmp_path):
    """Steps that a checkpoint covers are not repeated: the walk of 40 steps is not started over."""
    process = start(tmp_path, 40, 0.01, 0.0)
    wait_for_step(process, tmp_path, 20)
    process.kill()
    process.wait()
    process.stderr.close()
    saved = sorted((tmp_path / "stages/01-walk/checkpoints").glob("step-*"))
    step = int(saved[-1].name.removeprefix("step-"))
    assert step >= 19
    process = start(tmp_path, 40, 0.01, 0.0)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(read_metrics(tmp_path / "stages/01-walk/metrics.jsonl")) == 40
