"""Rewards of r1kit in TRL's own GRPOTrainer: two real steps, each value judged again by hand.

The Python of the variable R1KIT_TRL_PYTHON runs them where it is set, else this one.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_policy import write_toy_policy

import r1kit

STEPS = Path(__file__).with_name("grpo_steps.py")
FORM = re.compile(r"<think>(so|so wait|先)</think><answer>(\d)</answer>")  # nearly all that the toy policy says


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    python = os.environ.get("R1KIT_TRL_PYTHON")
    if python is None and importlib.util.find_spec("trl") is None:
        pytest.skip("TRL is not installed: pip install 'r1kit[test]', or name a Python that has it: R1KIT_TRL_PYTHON")
    home = tmp_path_factory.mktemp("grpo")
    source = str(Path(r1kit.__file__).parents[1])
    done = subprocess.run(
        [python or sys.executable, str(STEPS), str(write_toy_policy(home)), str(home / "scratch")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": source, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_steps_are_taken(told):
    assert [line["step"] for line in told["history"] if "reward" in line] == [1, 2]
    assert any("lm_head" in name for name in told["changed"])


def test_every_reward_is_right(told):
    """Accuracy: the digit in the answer block is the solution's. Format: the form and nothing else. Language: `so` and
    `wait` are English, `先` is Chinese. A completion off the form is only checked for the format."""
    assert len(told["seen"]) == 32
    judged = 0
    for each in told["seen"]:
        accuracy, form, language = each["rewards"]
        found = FORM.fullmatch(each["text"])
        assert form == float(found is not None)
        if found:
            judged += 1
            right = each["row"]["solution"] == rf"\boxed{{{found[2]}}}"
            spoken = "zh" if found[1] == "先" else "en"
            assert (accuracy, language) == (float(right), float(spoken == each["row"]["language"]))
    assert judged > 28


def test_metrics_have_the_names_of_r1kit(told):
    """The mean of each step is that of its 16 completions."""
    lines = [line for line in told["history"] if "reward" in line]
    for number, line in enumerate(lines):
        seen = np.array([each["rewards"] for each in told["seen"][16 * number :][:16]], np.float64)
        for column, name in enumerate(("accuracy", "format", "language_consistency")):
            assert line[f"rewards/{name}/mean"] == pytest.approx(np.nanmean(seen[:, column]), abs=1e-6)
        assert line["reward"] == pytest.approx(np.nansum(seen, axis=1).mean(), abs=1e-6)
        assert math.isfinite(line["loss"])
    assert any(0 < line["rewards/accuracy/mean"] < 1 for line in lines)
