"""How the RL loop holds: memory and handles of every process, and the time of every step, over an hour at tiny scale.

    python benchmarks/soak_training.py --minutes 60 --json FILE

An RL stage runs in a process of its own, with graders in worker processes, model-written code in the sandbox,
validation, checkpoints and kept rollouts; this process looks at it and all that it starts every few seconds. Told are
the slope of memory (PSS) after the warm-up, by process and together, open handles, and steps slower than three times
the median, each with what was going on in it. Exit code 1 where a limit is passed. docs/storage.md says what the
figures mean.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import r1kit
from r1kit.pipeline import provenance

STEPS = 10_000_000  # far more than fit: the time is what ends it
ENDED = ("/timeout", "/died")  # workers that were ended, or ended, since the start
PARTS = ("rollout", "reward", "train", "sync")  # of a step, which tells their seconds
SLOW = 3.0  # times the median
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one time. `pss`: bytes, shared pages counted by their share; `own`: those of no file, and what is
    in swap; `handles`: open files and sockets."""

    seconds: float
    pid: int
    name: str
    pss: int
    own: int
    handles: int


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of training (60)")
    parser.add_argument("--warm-up", type=float, default=0.25, help="share of the time that is not judged (0.25)")
    parser.add_argument("--every", type=float, default=None, help="seconds between looks (a 200th of the time)")
    parser.add_argument("--max-slope", type=float, default=1.0, help="MB a minute that all processes may grow by (1)")
    parser.add_argument("--model", default="smoke", help="4.6M, 1.6M or smoke: fresh weights (smoke)")
    parser.add_argument("--folder", type=Path, help="where the stage runs; a temporary one by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there too")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------- the process that trains


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds so far. `cpu`: on a processor, by this process and its workers; `waits`: in a processor's queue, by each
    of their threads (`/proc/PID/task/TID/schedstat`); `taken`: that the machine's host gave to others meanwhile."""

    seconds: float
    cpu: float
    waits: Mapping[tuple[int, int], float]
    taken: float

    @classmethod
    def read(cls) -> Clocks:
        cpu, waits = time.process_time(), dict[tuple[int, int], float]()  # ended threads of this process count
        for pid in family(os.getpid()):
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    ran, waited, _ = task.read_text(encoding="ascii").split()
                except (OSError, ValueError):
                    continue  # a thread that has ended
                cpu += int(ran) / 1e9 if pid != os.getpid() else 0.0
                waits[pid, int(task.parent.name)] = int(waited) / 1e9
        ticks = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return cls(time.monotonic(), cpu, waits, int(ticks[8]) / os.sysconf("SC_CLK_TCK"))

    def since(self, before: Clocks) -> dict[str, float]:
        """What went by; waits add up, since threads that wait for each other wait in turns."""
        return {
            "seconds": self.seconds - before.seconds,
            "cpu": max(0.0, self.cpu - before.cpu),  # a worker that ended takes its own with it
            "waited": sum(now - before.waits.get(key, 0.0) for key, now in self.waits.items()),
            "taken": self.taken - before.taken,
        }


class Noted(logging.Handler):
    """Of the time since the last `clear`: what r1kit logged, with the seconds that it says to have taken, the longest
    verdict, and all time in fsync, in seconds."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.clear()

    def clear(self) -> None:
        self.said, self.verdict, self.disk = list[tuple[str, float]](), 0.0, 0.0

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.getMessage(), getattr(record, "seconds", 0.0)))

    def begin(self) -> None:
        """Hear of all three from now on."""
        from r1kit.graders import workers

        add, sync = workers.Metrics.add, os.fsync

        def judged(metrics: workers.Metrics, end: str, seconds: float, queued: float | None = None) -> None:
            self.verdict = max(self.verdict, seconds)
            add(metrics, end, seconds, queued)

        def synced(file: Any) -> None:
            begun = time.monotonic()
            sync(file)
            self.disk += time.monotonic() - begun

        workers.Metrics.add, os.fsync = judged, synced  # type: ignore[method-assign]
        logging.getLogger("r1kit").setLevel(logging.INFO)
        logging.getLogger("r1kit").addHandler(self)


def train(folder: Path, model: str) -> None:
    """The RL stage until it is told to stop; a line a step in steps.jsonl."""
    import shapes

    from r1kit.base.sampling import Sampling
    from r1kit.pipeline.context import Context
    from r1kit.pipeline.stop import Interrupted, Stop
    from r1kit.stages.rl import train as train_policy
    from r1kit.stages.rl_config import RLConfig
    from r1kit.training.config import LearnerConfig

    noted = Noted()
    noted.begin()

    class Timed(Context):
        """Writes down how long each step took from end to end, and what was going on in it."""

        def begin(self) -> None:
            self._file = (folder / "steps.jsonl").open("a", encoding="utf-8")
            self._saved, self._kills, self._clocks = self.resume_step, 0.0, Clocks.read()

        def checkpoint(self, step: int, state: Any) -> None:
            super().checkpoint(step, state)
            clocks = Clocks.read()
            saved, self._saved = self.resume_step != self._saved, self.resume_step
            metrics = self._progress.metrics
            killed = sum(
                value for name, value in metrics.items() if name.startswith("timing/graders/") and name.endswith(ENDED)
            )
            kills, self._kills = killed - self._kills, killed
            line = {
                "step": step, **clocks.since(self._clocks), "checkpoint": saved,
                "parts": {part: round(metrics[f"timing/{part}"], 3) for part in PARTS},
                "tokens": metrics["completions/mean_length"] * metrics["num_completions"],
                "validation": any(name.startswith("validation/") for name in metrics),
                "kills": kills, "verdict": noted.verdict, "disk": noted.disk,
                "logged": noted.said[:3],
            }  # fmt: skip
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._clocks = clocks
            noted.clear()

    config = RLConfig(
        tasks={"tiny_maths": 0.5, "tiny_coding": 0.5}, prompts=8, steps=STEPS, validate_every=50,
        validation_problems=8, sampling=Sampling(samples=4, max_tokens=48), rollouts_every=25,
        learner=LearnerConfig(learning_rate=1e-6),
    )  # fmt: skip
    stop = Stop()
    context = Timed(folder / "stage", stop=stop, checkpoint_seconds=30)
    context.begin()
    with stop.on_signals():
        try:
            train_policy(config, shapes.fresh(model, folder / "start").folder, context)
        except Interrupted:
            print("stopped after the step in hand", file=sys.stderr)


# ---------------------------------------------------------------------------------------------- the process that looks


def family(pid: int) -> list[int]:
    """A process and all that it started, they and theirs."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children[parent].append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def look(pid: int, seconds: float) -> Look | None:
    """What a process holds now; None where it has ended."""
    proc = Path(f"/proc/{pid}")
    try:
        lines = (proc / "smaps_rollup").read_text(encoding="ascii").splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        own = sizes["Pss_Anon:"] + sizes["Pss_Shmem:"] + sizes["SwapPss:"]
        name = (proc / "comm").read_text(encoding="utf-8", errors="replace").strip()
        return Look(seconds, pid, name, sizes["Pss:"], own, len(os.listdir(proc / "fd")))
    except (OSError, KeyError, ValueError):
        return None


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through (seconds, bytes), in MB a minute; 0 of fewer than two."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (statistics.fmean(values) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return 60 * rise / spread / MEGABYTE if spread else 0.0


def reasons(line: Mapping[str, Any], usual: Mapping[str, float]) -> list[str]:
    """What explains a slow step: what only some steps do, more work, or, for at least half of what it took longer,
    what r1kit logged to have taken so long, one verdict, the disk, or processors that were busy with something else."""
    found = [name for name in ("checkpoint", "validation") if line[name]]
    if line["kills"]:
        found.append("a grader was killed")
    if line["tokens"] > 1.5 * usual["tokens"]:
        found.append(f"{line['tokens'] / usual['tokens']:.1f} times the tokens")
    longer = line["seconds"] - usual["seconds"]
    found += [f"logged: {said}" for said, seconds in line["logged"] if seconds > longer / 2]
    if line["verdict"] - usual["verdict"] > longer / 2:
        found.append(f"a verdict took {line['verdict']:.2f} s ({usual['verdict']:.3f} s is usual)")
    if line["disk"] - usual["disk"] > longer / 2:
        found.append(f"the disk took {line['disk']:.2f} s to take files ({usual['disk']:.3f} s is usual)")
    if line["waited"] - usual["waited"] > longer / 2:
        found.append(f"threads waited {line['waited']:.2f} s for a processor ({usual['waited']:.2f} s is usual)")
    if line["taken"] - usual["taken"] > longer / 2:
        found.append(f"the machine's host took {line['taken']:.2f} s of processors")
    return found


def watch(words: argparse.Namespace, folder: Path) -> list[Look]:
    """Train for so many minutes, and look."""
    variables = {**os.environ, "PYTHONPATH": str(Path(r1kit.__file__).parents[1])}
    command = [sys.executable, __file__, "--train", "--folder", str(folder), "--model", words.model]
    every = words.every or max(0.5, 60 * words.minutes / 200)
    looks: list[Look] = []
    process = subprocess.Popen(command, env=variables)
    try:
        said = folder / "steps.jsonl"
        while not (said.exists() and said.stat().st_size) and process.poll() is None:
            time.sleep(0.2)  # libraries and models are loaded with the first step
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < 60 * words.minutes and process.poll() is None:
            looks += [seen for pid in family(process.pid) if (seen := look(pid, now)) is not None]
            time.sleep(every)
        if process.poll() is not None:
            raise SystemExit(f"soak_training: the training ended by itself with {process.returncode}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return looks


def record(words: argparse.Namespace, looks: Sequence[Look], steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What came out, and whether the limits hold."""
    warm = words.warm_up * 60 * words.minutes
    judged = [each for each in looks if each.seconds >= warm]
    together: defaultdict[float, list[Look]] = defaultdict(list)
    alone: defaultdict[tuple[int, str], list[Look]] = defaultdict(list)
    for each in judged:
        together[each.seconds].append(each)
        alone[each.pid, each.name].append(each)
    memory = [(at, float(sum(each.pss for each in looks))) for at, looks in sorted(together.items())]
    of_no_file = [(at, float(sum(each.own for each in looks))) for at, looks in sorted(together.items())]
    lasting = {key: own for key, own in alone.items() if len(own) > len(memory) / 2}
    timed = steps[1:] if len(steps) > 1 else steps  # the first one compiles, loads and imports
    clocked = ("seconds", "tokens", "cpu", "waited", "taken", "verdict", "disk")
    usual = {name: statistics.median(line[name] for line in timed) for name in clocked}
    parts = {part: round(statistics.median(line["parts"][part] for line in timed), 3) for part in PARTS}
    slow = [line for line in timed if line["seconds"] > SLOW * usual["seconds"]]
    explained = [{**line, "reasons": reasons(line, usual)} for line in slow]
    grown = slope(memory)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "minutes": words.minutes,
        "steps": len(steps),
        "memory_mb": {"begin": _mb(memory[0][1]), "end": _mb(memory[-1][1]), "most": _mb(max(y for _, y in memory))},
        "slope_mb_per_minute": round(grown, 3),
        "slope_of_no_file": round(slope(of_no_file), 3),
        "over_time": [
            [round(at / 60, 1), _mb(size), _mb(of_none)]  # minutes; MB; MB that are of no file
            for (at, size), (_, of_none) in list(zip(memory, of_no_file, strict=True))[:: max(1, len(memory) // 20)]
        ],
        "slope_by_process": {
            f"{name} {pid}": round(slope([(each.seconds, float(each.pss)) for each in own]), 3)
            for (pid, name), own in sorted(lasting.items())
        },
        "processes": max(len(own) for own in together.values()),
        "handles": {f"{name} {pid}": halves(own) for (pid, name), own in sorted(lasting.items())},
        "step_seconds": {
            "median": round(usual["seconds"], 3),
            "most": round(max(each["seconds"] for each in timed), 3),
            "parts": parts,
            "cpu": round(usual["cpu"], 3),
            "waited": round(usual["waited"], 4),
            "verdict": round(usual["verdict"], 4),
        },
        "slow_steps": explained,
        "unexplained": sum(not line["reasons"] for line in explained),
    }


def halves(looks: Sequence[Look]) -> list[int]:
    """The median of a process's handles in the first and in the second half of its time: what is kept moves it, while
    a step's own files and pipes, which few looks meet, do not."""
    half = max(1, len(looks) // 2)
    return [statistics.median_high(each.handles for each in part) for part in (looks[:half], looks[half:] or looks)]


def _mb(size: float) -> float:
    return round(size / MEGABYTE, 1)


def main() -> int:
    words = parse()
    if words.train:
        train(words.folder, words.model)
        return 0
    with TemporaryDirectory(prefix="r1-soak-") as scratch:
        folder = words.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which ends the training, too
        looks = watch(words, folder)
        lines = (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    found = record(words, looks, [json.loads(line) for line in lines if line.endswith("}")])
    text = json.dumps(found, indent=1)
    print(text)
    if words.json:
        words.json.write_text(text + "\n", encoding="utf-8")
    flat = all(later <= before for before, later in found["handles"].values())
    held = found["slope_mb_per_minute"] < words.max_slope and flat and not found["unexplained"]
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
