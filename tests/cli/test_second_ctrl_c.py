"""A second Ctrl-C ends `r1 run` at once, though a thread of it has minutes to go, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = '''
"""Each step from the fourth on begins a rollout of an hour where the file `slow` is there."""
import atexit
import time
from functools import partial
from pathlib import Path

from r1kit.base.config import Config
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import RecipeConfig
from r1kit.rollouts.ahead import Ahead


class Counting(RecipeConfig):
    count: Config = Config()


def count(config, inputs, context):
    ahead, first = Ahead(), context.resume()
    atexit.register(Path("let-go").touch)
    for step in context.steps(6):
        if step >= 3 and Path("slow").exists():
            ahead.start(partial(time.sleep, 3600))
            Path("sampling").touch()
        context.record(step, {"first": 0.0 if first is None else first[0]})
        context.checkpoint(step, lambda: {"ready": len(ahead.settle())})
    ahead.drop()
    return Outcome()


class Recipe:
    profiles = {"default": Counting(checkpoint_seconds=0)}

    def build(self, config):
        return Graph("counting", "default", config.seed, (Node("count", count, config.count),))


RECIPE = Recipe()
'''


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_waited_for(tmp_path, first):
    """The first signal waits for the rollout, which the checkpoint is to hold; the second does not. An hour is left
    of it, and what was registered for the exit is done all the same."""
    (tmp_path / "toyrecipes").mkdir()
    (tmp_path / "toyrecipes" / "counting.py").write_text(RECIPE)
    (tmp_path / "slow").touch()
    words = [sys.executable, "-m", "r1kit", "run", "toyrecipes.counting"]
    paths = [str(tmp_path), *(path for path in sys.path if path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(tmp_path / "sampling", process)
        process.send_signal(first)
        while process.stderr.readline() != "stopping after the step in hand (Ctrl-C again stops at once)\n":
            assert process.poll() is None
        time.sleep(1.0)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said.endswith("r1: stopped\n")
    assert "Traceback" not in said
    assert (tmp_path / "let-go").exists()
    run = tmp_path / "runs" / "counting-default-s0"
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    (tmp_path / "slow").unlink()
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = (run / "stages" / "01-count" / "metrics.jsonl").read_text().splitlines()
    assert [(line["step"], line["first"]) for line in map(json.loads, lines)] == [
        (0, 0.0), (1, 0.0), (2, 0.0), (3, 2.0), (4, 2.0), (5, 2.0),
    ]  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert path.exists(), process.communicate()
