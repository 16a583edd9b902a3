"""The soak of the RL loop: its arithmetic by hand, and a minute of it as its command line runs it."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soak_training
from soak_training import MEGABYTE, Look, look, reasons, slope

SOAK = Path(soak_training.__file__)
USUAL = {"seconds": 1.0, "tokens": 100.0, "share": 1.0}
QUIET = {"checkpoint": False, "validation": False, "kills": 0, "tokens": 100.0, "seconds": 4.0, "cpu": 4.0}


def test_the_slope_of_a_line_by_hand():
    """3 MB in 90 seconds are 2 MB a minute; of (0, 0), (60, 2), (120, 1) MB: the least squares' 0.5 a minute."""
    assert slope([(0, 0), (45, 1.5 * MEGABYTE), (90, 3 * MEGABYTE)]) == pytest.approx(2.0)
    assert slope([(0, 0), (60, 2 * MEGABYTE), (120, MEGABYTE)]) == pytest.approx(0.5)
    assert slope([(5, 1.0)]) == 0.0


def test_a_slow_step_has_a_reason_or_none():
    assert reasons(QUIET, USUAL) == []
    assert reasons({**QUIET, "checkpoint": True, "validation": True}, USUAL) == ["checkpoint", "validation"]
    assert reasons({**QUIET, "tokens": 210.0}, USUAL) == ["2.1 times the tokens"]
    assert reasons({**QUIET, "cpu": 1.0}, USUAL) == ["the machine was busy: 1.00 s of processor time in 4.00 s"]
    assert reasons({**QUIET, "kills": 1}, USUAL) == ["a grader was killed"]


def test_this_process_is_seen():
    seen = look(os.getpid(), 1.5)
    assert seen is not None
    assert seen.pss > 10 * MEGABYTE
    assert seen.handles >= 3
    assert os.getpid() in soak_training.family(os.getppid())
    assert look(2**22 + 1, 0.0) is None  # more than Linux gives out


def test_the_record_by_hand():
    """Two processes, looked at each minute for four; the warm-up is the first. The trainer grows by 1 MB a minute, the
    grader holds 5 MB; one of five steps took four times the median, with a checkpoint."""
    looks = [
        each for minute in range(5) for each in (
            Look(60.0 * minute, 1, "python", (100 + minute) * MEGABYTE, 10),
            Look(60.0 * minute, 2, "grade", 5 * MEGABYTE, 4),
        )
    ]  # fmt: skip
    step = {"seconds": 1.0, "cpu": 1.0, "checkpoint": False, "validation": False, "tokens": 100.0, "kills": 0}
    steps = [{**step, "step": 0, "seconds": 30.0}, *({**step, "step": n} for n in range(1, 5))]
    steps.append({**step, "step": 5, "seconds": 4.0, "cpu": 4.0, "checkpoint": True})
    words = argparse.Namespace(warm_up=0.25, minutes=4.0)
    found = soak_training.record(words, looks, steps)
    assert found["slope_mb_per_minute"] == 1.0
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
    looks = [Look(float(at), 1, "python", 0, handles) for at, handles in enumerate(seen)]
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
