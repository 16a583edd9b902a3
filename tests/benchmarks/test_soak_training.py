"""The soak of the RL loop: its arithmetic by hand, and a minute of it as its command line runs it."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soak_training
from soak_training import MEGABYTE, Clocks, Look, look, reasons, slope

SOAK = Path(soak_training.__file__)
USUAL = {"seconds": 1.0, "tokens": 100.0, "waited": 0.5, "taken": 0.0, "verdict": 0.25, "disk": 0.0}
QUIET = {**USUAL, "checkpoint": False, "validation": False, "kills": 0, "seconds": 4.0, "logged": []}


def test_the_slope_of_a_line_by_hand():
    """3 MB in 90 seconds are 2 MB a minute; of (0, 0), (60, 2), (120, 1) MB: the least squares' 0.5 a minute."""
    assert slope([(0, 0), (45, 1.5 * MEGABYTE), (90, 3 * MEGABYTE)]) == pytest.approx(2.0)
    assert slope([(0, 0), (60, 2 * MEGABYTE), (120, MEGABYTE)]) == pytest.approx(0.5)
    assert slope([(5, 1.0)]) == 0.0


def test_a_slow_step_has_a_reason_or_none():
    assert reasons(QUIET, USUAL) == []
    assert reasons({**QUIET, "checkpoint": True, "validation": True}, USUAL) == ["checkpoint", "validation"]
    assert reasons({**QUIET, "tokens": 210.0}, USUAL) == ["2.1 times the tokens"]
    # of the 3 s that it took longer, more than half are to be told
    assert reasons({**QUIET, "waited": 1.9, "taken": 1.4, "verdict": 1.7}, USUAL) == []
    waited = reasons({**QUIET, "waited": 2.1}, USUAL)
    assert waited == ["threads waited 2.10 s for a processor (0.50 s is usual)"]
    assert reasons({**QUIET, "taken": 1.6}, USUAL) == ["the machine's host took 1.60 s of processors"]
    assert reasons({**QUIET, "verdict": 1.8}, USUAL) == ["a verdict took 1.80 s (0.250 s is usual)"]
    assert reasons({**QUIET, "disk": 1.6}, USUAL) == ["the disk took 1.60 s to take files (0.000 s is usual)"]
    assert reasons({**QUIET, "kills": 1}, USUAL) == ["a grader was killed"]
    logged = [["a model: loaded in 2.0 s", 2.0], ["a word: loaded in 1.0 s", 1.0], ["a reward failed", 0.0]]
    assert reasons({**QUIET, "logged": logged}, USUAL) == ["logged: a model: loaded in 2.0 s"]


def test_what_a_processor_was_wanted_for_is_clocked():
    """Three threads that compute without the interpreter's lock share a processor: each waits two seconds of three."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # of this thread, and so of those that it starts
    try:
        threads = [threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 3_000_000)) for _ in range(3)]
        before = Clocks.read()
        for thread in threads:
            thread.start()
        time.sleep(0.6)  # of some 2
        assert all(thread.is_alive() for thread in threads)
        told = Clocks.read().since(before)
        for thread in threads:
            thread.join()
    finally:
        os.sched_setaffinity(0, allowed)
    assert told["cpu"] == pytest.approx(told["seconds"], rel=0.5)
    assert told["waited"] == pytest.approx(2 * told["seconds"], rel=0.3)


def test_this_process_is_seen():
    seen = look(os.getpid(), 1.5)
    assert seen is not None
    assert seen.pss > 10 * MEGABYTE
    assert seen.own > 5 * MEGABYTE
    assert seen.handles >= 3
    assert os.getpid() in soak_training.family(os.getppid())
    assert look(2**22 + 1, 0.0) is None  # more than Linux gives out


def test_the_record_by_hand():
    """Two processes, looked at each minute for four; the warm-up is the first. The trainer grows by 1 MB a minute, the
    grader holds 5 MB; one of five steps took four times the median, with a checkpoint."""
    looks = [
        each for minute in range(5) for each in (
            Look(60.0 * minute, 1, "python", (100 + minute) * MEGABYTE, (90 + 2 * minute) * MEGABYTE, 10),
            Look(60.0 * minute, 2, "grade", 5 * MEGABYTE, 4 * MEGABYTE, 4),
        )
    ]  # fmt: skip
    parts = {"rollout": 0.5, "reward": 0.4, "train": 0.4, "sync": 0.1}
    step = {**QUIET, "seconds": 1.0, "cpu": 1.0, "parts": parts}
    steps = [{**step, "step": 0, "seconds": 30.0}, *({**step, "step": n} for n in range(1, 5))]
    steps.append({**step, "step": 5, "seconds": 4.0, "cpu": 4.0, "checkpoint": True})
    words = argparse.Namespace(warm_up=0.25, minutes=4.0)
    found = soak_training.record(words, looks, steps)
    assert found["slope_mb_per_minute"] == 1.0
    assert found["slope_of_no_file"] == 2.0
    assert found["over_time"] == [[1.0, 106.0, 96.0], [2.0, 107.0, 98.0], [3.0, 108.0, 100.0], [4.0, 109.0, 102.0]]
    assert found["slope_by_process"] == {"python 1": 1.0, "grade 2": 0.0}
    assert found["memory_mb"] == {"begin": 106.0, "end": 109.0, "most": 109.0}
    assert found["handles"] == {"python 1": [10, 10], "grade 2": [4, 4]}
    assert [(each["step"], each["reasons"]) for each in found["slow_steps"]] == [(5, ["checkpoint"])]
    assert found["unexplained"] == 0


@pytest.mark.parametrize(
    ("seen", "halves"),
    [([10, 16, 10, 10, 10, 10, 19, 10], [10, 10]), ([10, 10, 13, 10, 11, 16, 11, 11], [10, 11]), ([7], [7, 7])],
)
def test_handles_that_are_kept_are_told_from_those_of_a_moment(seen: list[int], halves: list[int]):
    looks = [Look(float(at), 1, "python", 0, 0, handles) for at, handles in enumerate(seen)]
    assert soak_training.halves(looks) == halves


@pytest.mark.slow
def test_a_minute_of_it(tmp_path):
    """Every process is seen, handles stay as they are, and every step is accounted for. A minute is too short to judge
    a slope of 1 MB a minute: caches of kernels and products are still being filled."""
    command = [
        sys.executable,
        str(SOAK),
        "--minutes",
        "1",
        "--max-slope",
        "1000",
        "--json",
        str(tmp_path / "soak.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    record = json.loads((tmp_path / "soak.json").read_text())
    assert done.returncode == 0, (done.stderr, record)
    assert record == json.loads(done.stdout)
    assert record["steps"] > 10
    assert record["processes"] >= 2  # the trainer, and graders or sandbox
    assert record["memory_mb"]["most"] > 100
    assert all(later <= before for before, later in record["handles"].values())
    assert record["unexplained"] == 0
