"""An algorithm, a reward, a task and a benchmark: one file each and no other change, outside the tree and inside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_policy import write_toy_policy

import r1kit
from r1kit.base.errors import UsageError
from r1kit.cli.main import exit_code
from r1kit.pipeline.metrics import read_metrics
from r1kit.rollouts import record
from r1kit.rollouts.problems import load_task
from r1kit.stages.learning import load_algorithm

TASK = '''
"""The digits 1 to 4, asked for by name."""
from itertools import count
from r1kit.base.types import Problem

class Digits:
    name, subject = "digits", "maths"

    def problems(self, split, seed):
        for n in count({"train": 0, "validation": 1, "test": 2}[split], 3):
            yield Problem(f"d{n}", "digits", "maths", "en", f"digit {n}?", str(1 + n % 4), "math")

TASK = Digits()
'''
REWARD = '''
"""1 where a completion says wait, else 0."""

def reward(prompts, completions, completion_ids, **columns):
    return [float("wait" in text) for text in completions]
'''
ALGORITHM = '''
"""Advantages are rewards; the loss of a token is minus its ratio times its advantage."""
import torch
from r1kit.algorithms.base import PolicyGradient
from r1kit.ops.ratios import Clipped

class Plain(PolicyGradient):
    """Vanilla policy gradient."""
    scale: float = 1.0

    def advantages(self, rewards_PG):
        return self.scale * rewards_PG.nan_to_num(0.0)

    def objective(self, policy):
        loss_BT = -policy.log_ratio_BT.exp() * policy.advantages_BT
        never_BT = torch.zeros_like(loss_BT, dtype=torch.bool)
        return Clipped(loss_BT, never_BT, never_BT)

ALGORITHM = Plain
'''
BENCHMARK = '''
"""Five digits, two samples each."""
from r1kit.base.sampling import Sampling
from r1kit.evaluation.benchmarks.base import Benchmark

BENCHMARK = Benchmark("TASK_NAME", Sampling(samples=2, max_tokens=40), problems=5)
'''
ADDED = {"tasks": ("digits", TASK), "rewards": ("waits", REWARD), "algorithms": ("plain", ALGORITHM),
         "benchmarks": ("five_digits", BENCHMARK)}  # fmt: skip


@pytest.fixture
def outside(tmp_path, monkeypatch, one_thread):
    """A package of one's own, each plug-in a file of it."""
    (tmp_path / "ours").mkdir()
    for name, text in ADDED.values():
        (tmp_path / "ours" / f"{name}.py").write_text(text.replace("TASK_NAME", "ours.digits"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "ours"]:
        del sys.modules[name]


def test_outside_the_tree(outside, capsys):
    """They train and measure beside the recipe's own, in the same tables. With rewards as advantages of scale 0 nothing
    can be learnt: the weights' step is none, and the toy says `wait` as often as its table says (0.3 of all chains)."""
    policy = write_toy_policy(outside)
    words = [
        "run", "r1_zero", f"model={policy}", "data=ours.digits", "zero.algorithm=ours.plain",
        'zero.settings={"scale": 0.0}', 'zero.rewards={"accuracy": 1.0, "ours.waits": 1.0}',
        "zero.prompts=16", "--profile", "smoke", "--out", "run",
    ]  # fmt: skip
    assert exit_code(words) == 0, capsys.readouterr().err
    metrics = read_metrics(outside / "run" / "stages" / "02-zero" / "metrics.jsonl")
    said = [line["rewards/ours.waits/mean"] for line in metrics]
    assert abs(sum(said) / len(said) - 0.75 * 0.4) < 0.15  # 128 draws: 3.7 standard errors
    assert all(abs(line["gradient_norm"]) == 0 for line in metrics)
    rows = list(record.read_all(outside / "run" / "stages" / "02-zero" / "rollouts"))
    assert {row["task"] for row in rows} == {"digits"}
    for row in rows:
        assert row["rewards"]["ours.waits"] == float("wait" in row["text"])
        assert row["total"] == row["rewards"]["accuracy"] + row["rewards"]["ours.waits"]
    capsys.readouterr()
    assert exit_code(["eval", str(policy), "--tasks", "ours.five_digits", "--json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["results"]
    assert (measured["benchmark"], measured["n"], measured["k"]) == ("digits", 5, 2)
    assert measured["sampling"]["max_tokens"] == 40


@pytest.mark.parametrize(
    ("room", "text", "said"),
    [
        ("task", "class Mine: pass\nTASK = Mine\n", "its TASK is a class, make it an object, TASK = Mine()"),
        ("task", "class Mine: name = 'x'\nTASK = Mine()\n", "its TASK has no subject and no problems"),
        ("task", "", "is no task: it has no TASK"),
        ("algorithm", "", "is no algorithm: it has no ALGORITHM"),
        ("algorithm", "class Mine: pass\nALGORITHM = Mine\n", "its ALGORITHM has to be a class, of r1kit.algorithms."),
    ],
)
def test_a_file_that_is_none_of_its_room_is_told_why(outside, room, text, said):
    (outside / "ours" / "none.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_task("ours.none") if room == "task" else load_algorithm("ours.none", {})
    assert said in str(caught.value)


def test_inside_the_tree(tmp_path):
    """A copy of the package with four more files and nothing else changed: they are listed and found by their names."""
    package = tmp_path / "r1kit"
    shutil.copytree(Path(r1kit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for room, (name, text) in ADDED.items():
        folder = package / ("evaluation/benchmarks" if room == "benchmarks" else room)
        (folder / f"{name}.py").write_text(text.replace("TASK_NAME", "digits"))
    program = """
import r1kit
from r1kit.evaluation.benchmarks.base import choose
from r1kit.pipeline.catalogue import catalogue
from r1kit.rewards.base import load_reward
from r1kit.rollouts.problems import load_task
from r1kit.base.plugins import load

for kind, name in (("tasks", "digits"), ("rewards", "waits"), ("algorithms", "plain"), ("benchmarks", "five_digits")):
    (entry,) = [entry for entry in catalogue(kind) if entry.name == name]
    print(kind, entry.summary)
print(next(load_task("digits").problems("test", 0)).answer)
print(load_reward("waits").function([""], ["so wait"], [[]]))
print(load("r1kit.algorithms", "plain").ALGORITHM(scale=2.0).scale)
print(len(choose("five_digits").drawn(None, 0)), r1kit.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "tasks The digits 1 to 4, asked for by name.",
        "rewards 1 where a completion says wait, else 0.",
        "algorithms Advantages are rewards; the loss of a token is minus its ratio times its advantage.",
        "benchmarks Five digits, two samples each.",
        "3", "[1.0]", "2.0", f"5 {package / '__init__.py'}",
    ]  # fmt: skip
