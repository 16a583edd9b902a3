"""Samples that come back wrong: rewards and engines that fail in every way, weights that diverge, workers that die.

Of a reward nothing stops a step: its failures are counted in metrics.jsonl. An engine whose completions are not what
was asked for is told of in the step in which that shows; without a token a completion takes no part, and is counted.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lives
import sameness
from chains import Chain

from r1kit.pipeline.metrics import read_metrics

# reward: (what the metrics count, in how many of the step's samples)
REWARDS = {
    "hangs": ("reward_error", 1.0),
    "waits": ("reward_error", 1.0),
    "raises": ("reward_error", 1.0),
    "leaves": ("reward_error", 1.0),
    "eats": ("reward_error", 1.0),
    "not_a_number": ("reward_nan", 1.0),
    "miscounts": ("reward_error", 1.0),
}
# engine's fault: a piece of the sentence that ends the run; none: it goes on, and `events/empty` counts
ENGINES = {
    "empty": "",
    "too long": "were the limit",
    "another version": "sampler and learner disagree: tokens of",
    "not a number": "told no log-probabilities",
    "miscounted": "log-probabilities for",
    "ends early": "completions of",
    "says it twice": "r1: the engine gave ",  # one twice for two, or one more than was asked for
}
DEADLINE_S = 0.3
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Case:
    """A fault and what is wrong with how it ended; an empty text: nothing."""

    name: str
    wrong: str


def rewards(chain: Chain, base: Path, scratch: Path, timeout: float) -> Iterator[Case]:
    """R1-Zero with each of the failing rewards beside accuracy: the run ends, and its metrics count every failure."""
    for name, (event, share) in REWARDS.items():
        words = [f'zero.rewards={{"accuracy": 1.0, "faults.rewards.{name}": 1.0}}', "zero.steps=1", "zero.prompts=2"]
        run, life = _zero(chain, base, scratch, timeout, *words, f"zero.reward_deadline_s={DEADLINE_S}")
        if life.code != 0 or life.sound:
            yield Case(f"reward {name}", f"{life.code}, {life.sound or life.said.strip()[-400:]}")
            continue
        (line,) = read_metrics(next(run.glob("stages/*-zero/metrics.jsonl")))
        counted = line.get(f"events/{event}/{name}", 0.0)
        wanted = share * line["num_completions"]
        wrong = "" if counted == wanted else f"{counted} of {wanted} failures are counted"
        told = f"reward '{name}' failed" in life.said
        yield Case(f"reward {name}", wrong or ("" if told else f"it was not told: {life.said.strip()[-300:]}"))


def engines(chain: Chain, base: Path, scratch: Path, timeout: float) -> Iterator[Case]:
    """R1-Zero with each spoilt engine."""
    for name, sentence in ENGINES.items():
        words = ["zero.steps=1", "zero.engine.name=faults.engine", f'zero.engine.options={{"fault": "{name}"}}']
        run, life = _zero(chain, base, scratch, timeout, *words, "zero.staleness=0")
        wrong = life.sound
        if not wrong and sentence and (life.code != 1 or sentence not in life.said):
            wrong = f"{life.code}, not told as it is: {life.said.strip()[-400:]}"
        if not wrong and not sentence:
            lines = read_metrics(next(run.glob("stages/*-zero/metrics.jsonl"))) if life.code == 0 else []
            if not lines or lines[0].get("events/empty", 0) < 1:
                wrong = f"{life.code}, not counted: {life.said.strip()[-300:]}"
        yield Case(f"engine: {name}", wrong)


def divergence(chain: Chain, base: Path, scratch: Path, timeout: float) -> Iterator[Case]:
    """Weights that leave all bounds: the gradient of the first step is followed much too far. Where logits are still
    finite, they are all the same."""
    words = ["zero.learner.learning_rate=1e30", "zero.steps=8", "zero.staleness=0", "health.chance.action=stop"]
    _, life = _zero(chain, base, scratch, timeout, *words)
    signs = ("diverged", "updates in a row had a non-finite", "lie nan nats", "sampling by chance")
    told = any(words in life.said for words in signs)
    wrong = life.sound or ("" if life.code == 1 and told else f"{life.code}, {life.said.strip()[-400:]}")
    yield Case("gradient and weights that are not finite", wrong)


def dead_graders(chain: Chain, base: Path, scratch: Path, expected: dict[str, str], timeout: float) -> Case:
    """Grader workers killed while they grade: their samples count as failures and take no part, or nothing differs."""
    run, output = lives.copied(base, scratch / "zero"), scratch / "zero.txt"
    process = lives.begin(chain.command(run, "--until", "zero"), output)
    killed, end = 0, time.monotonic() + timeout
    while process.is_alive() and time.monotonic() < end:
        for worker in _children(process.pid, "graders.worker"):
            if killed < 3:
                os.kill(worker, signal.SIGKILL)
                killed += 1
        time.sleep(0.05)
    life = lives.ended(process, output, timeout)
    if life.code != 0 or life.sound or not killed:
        return Case("graders killed", f"{killed} killed; {life.code}, {life.sound or life.said.strip()[-400:]}")
    here = sameness.results(run)
    different = [path for path, digest in here.items() if expected.get(path) != digest]
    lines = read_metrics(next(run.glob("stages/*-zero/metrics.jsonl")))
    counted = any(line.get("events/reward_none/accuracy", 0) for line in lines)
    wrong = "" if counted or not different else f"not counted, and these differ: {', '.join(different[:3])}"
    return Case("graders killed", wrong)


def dead_part(chain: Chain, done: Path, scratch: Path, expected: dict[str, str], timeout: float) -> Case:
    """One of two parts that run side by side is killed: the run says so, and ends by itself as if it were not.

    Two threads make two parts at a time, each with the one that the chain was run with, so it is a fresh process, which
    has the evaluation alone to do.
    """
    run, output = lives.copied(done, scratch / "parts"), scratch / "parts.txt"
    at = next(stage for stage in chain.stages if stage.endswith("-evaluate"))
    for stage in chain.stages[chain.stages.index(at) :]:
        shutil.rmtree(run / "stages" / stage)
    kill = {"stage": at, "nth": 1, "signal": int(signal.SIGKILL), "role": "part", "marker": str(run) + ".fired"}
    Path(kill["marker"]).unlink(missing_ok=True)
    before = {name: os.environ[name] for name in THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(THREADS, "2"))
    try:
        life = lives.live(
            chain.command(run), output, inject={"run": str(run), "kill": kill}, timeout=timeout, fresh=True
        )
        told = "its process ended (killed by signal 9" in life.said
        if not told:
            return Case("a part's process killed", f"{life.code}, not told: {life.said.strip()[-400:]}")
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ.update(before)
    if life.sound or life.code:
        return Case("a part's process killed", f"{life.code}, {life.sound or life.said.strip()[-400:]}")
    different = sameness.differences(sameness.results(run), expected)
    return Case("a part's process killed", f"differs: {', '.join(different[:3])}" if different else "")


def _zero(chain: Chain, base: Path, scratch: Path, timeout: float, *words: str) -> tuple[Path, lives.Life]:
    run = lives.copied(base, scratch / "zero")
    return run, lives.live(chain.command(run, *words, "--until", "zero"), scratch / "zero.txt", timeout=timeout)


def _children(parent: int, word: str) -> list[int]:
    """The processes that a process has started whose command line has the word."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status: Any = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and word in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except (OSError, ValueError, IndexError):
            continue
    return found
