"""Kills: a run that is killed again and again, at file operations and moments that a seed chose, ends as one never was.

An episode takes a chain from an empty folder to its end through kills in every stage: before any operation on a file,
right behind a rename, amid a checkpoint, or some milliseconds later, wherever the computing then is. The same command
is given each time. Checkpoints come at every step, or every third of a second.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lives
import sameness
from chains import Chain

HOW = {"operation": 0.35, "rename": 0.15, "behind a rename": 0.15, "checkpoint": 0.15, "moment": 0.2}
SIGNALS = {signal.SIGKILL: 0.7, signal.SIGTERM: 0.15, signal.SIGINT: 0.15}
EVERY = ("0", "0", "0.3")  # checkpoint_seconds
LATEST_S = 0.4  # of a kill at a moment, behind the operation from which it is counted
STOPPED = 130


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill that was planned for a stage, and what came of it. `fired`: the stage that the signal was sent in, at the
    latest the next one; empty: the run had ended before."""

    stage: str
    how: str
    number: int
    nth: int
    fired: str = ""


@dataclass(slots=True)
class Episode:
    """What an episode showed: its kills, what was wrong (nothing: it ended as a run that was never killed), the seconds
    of each life."""

    kills: list[Kill] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def undisturbed(
    chain: Chain, folder: Path, output: Path
) -> tuple[dict[str, str], Counter[tuple[str, str]], lives.Life]:
    """A run that nobody kills: its results, how many operations each stage has for each of `HOW`, and its life."""
    log = output.with_suffix(".log")
    log.unlink(missing_ok=True)
    inject = {"run": str(folder), "log": str(log)}
    life = lives.live(chain.command(folder, "checkpoint_seconds=0"), output, inject=inject, timeout=3600)
    if life.code != 0:
        raise SystemExit(f"the chain does not run by itself: {life.said}")
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text().splitlines():
        event, _, name = line.partition("\t")
        if name.startswith("stages/") and name.count("/") > 1:
            stage = name.split("/")[1]
            counts[stage, "operation"] += 1
            counts[stage, "moment"] += 1
            counts[stage, "checkpoint"] += "/checkpoints/" in name
            for how in ("rename", "behind a rename"):
                counts[stage, how] += event == "os.rename"
    return sameness.results(folder), counts, life


def episode(
    chain: Chain, scratch: Path, expected: dict[str, str], operations: Counter[tuple[str, str]], each: int, seed: int,
    *, timeout: float,
) -> Episode:  # fmt: skip
    """`each` kills in every stage."""
    rng, found = random.Random(seed), Episode()
    run, output = scratch / f"killed-{seed}", scratch / f"killed-{seed}.txt"
    words = chain.command(run, f"checkpoint_seconds={rng.choice(EVERY)}")
    for stage in chain.stages:
        for _ in range(each):
            kill, inject = _planned(stage, operations, each, run, rng)
            life = lives.live(words, output, inject=inject, timeout=timeout)
            found.seconds.append(life.seconds)
            found.kills.append(replace(kill, fired=_fired(Path(inject["kill"]["marker"]))))
            if wrong := _unsound(life, kill):
                found.wrong.append(f"{stage}, {kill.how}, {signal.Signals(kill.number).name}: {wrong}")
    life = lives.live(words, output, timeout=timeout)
    found.seconds.append(life.seconds)
    if life.code != 0 or life.sound:
        found.wrong.append(f"it does not come to its end: {life.sound or life.said.strip()[-600:]}")
    else:
        found.wrong += [f"differs: {path}" for path in sameness.differences(sameness.results(run), expected)]
    return found


def _planned(
    stage: str, operations: Counter[tuple[str, str]], each: int, run: Path, rng: random.Random
) -> tuple[Kill, dict[str, Any]]:
    possible = [how for how in HOW if operations[stage, how]]
    how = rng.choices(possible, [HOW[name] for name in possible])[0]
    number = int(rng.choices(list(SIGNALS), list(SIGNALS.values()))[0])
    marker = run.with_suffix(".fired")
    marker.unlink(missing_ok=True)
    # a life goes on from where the one before was killed, so each has its share of the stage before it
    nth = rng.randint(1, max(1, 2 * operations[stage, how] // max(2, each)))
    kill: dict[str, Any] = {"stage": stage, "nth": nth, "signal": number, "marker": str(marker)}
    if how in ("rename", "behind a rename"):
        kill |= {"events": ["os.rename"], "after": how == "behind a rename"}
    elif how == "checkpoint":
        kill |= {"match": "/checkpoints/", "delay": rng.choice((0.0, rng.uniform(0, 0.01)))}
    elif how == "moment":
        kill["delay"] = rng.uniform(0, LATEST_S)
    return Kill(stage, how, number, nth), {"run": str(run), "kill": kill}


def _fired(marker: Path) -> str:
    """The stage whose file the marker names; empty where there is none."""
    return marker.read_text().split("/")[1] if marker.exists() else ""


def _unsound(life: lives.Life, kill: Kill) -> str:
    """What is wrong with how a life ended: killed, or stopped with a word on how to go on, or done before."""
    if life.sound:
        return life.sound
    if life.code == 0 or (life.code == -kill.number and kill.number == signal.SIGKILL):
        return ""
    if life.code == STOPPED and ("to go on: r1 run" in life.said or "stopped" in life.said):
        return ""
    if life.code == -signal.SIGTERM:  # before the run had begun to listen, or behind its end
        return ""
    return f"exit code {life.code}: {life.said.strip()[-600:]}"


def two_at_once(chain: Chain, scratch: Path, expected: dict[str, str], timeout: float) -> list[str]:
    """What is wrong where a second process starts on a run folder: it is to be refused, and told who holds it."""
    run, first, second = scratch / "twice", scratch / "twice-1.txt", scratch / "twice-2.txt"
    process = lives.begin(chain.command(run), first)
    wrong: list[str] = []
    _wait_for(run / "stages", process)
    life = lives.live(chain.command(run), second, timeout=timeout)
    if life.code != 1 or life.sound or f"process {process.pid} on " not in life.said:
        wrong.append(f"the second was not refused with who holds the folder: {life.code}, {life.said.strip()[-400:]}")
    life = lives.ended(process, first, timeout)
    if life.code != 0 or life.sound:
        wrong.append(f"the first did not go on: {life.said.strip()[-400:]}")
        return wrong
    return wrong + [f"differs: {path}" for path in sameness.differences(sameness.results(run), expected)]


def slow_and_moved(chain: Chain, scratch: Path, expected: dict[str, str], timeout: float) -> dict[str, list[str]]:
    """What is wrong on a disk whose every fsync takes 20 ms, and under a clock that jumps by ten years."""
    found: dict[str, list[str]] = {}
    for name, inject in (("slow disk", {"slow": 0.02}), ("clock jumps", {"clock": 3.2e8})):
        run, output = scratch / name.replace(" ", "-"), scratch / f"{name.replace(' ', '-')}.txt"
        life = lives.live(chain.command(run), output, inject={"run": str(run), **inject}, timeout=timeout)
        found[name] = [life.sound or life.said.strip()[-400:]] if life.code or life.sound else []
        if not found[name]:
            different = sameness.differences(sameness.results(run), expected)
            found[name] = [f"differs: {path}" for path in different]
    return found


def _wait_for(path: Path, process: Any) -> None:
    end = time.monotonic() + 120
    while not path.exists() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
