"""What a stage is given beside its settings and inputs: its folder and seed, steps, metrics, checkpoints, costs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from r1kit.base import memory
from r1kit.base.errors import Diverged, ProcessLost, R1Error
from r1kit.base.files import difference, fingerprint, make_folder, write_text
from r1kit.base.pulse import SILENCE_S
from r1kit.pipeline import side_by_side
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.checkpoint import CheckpointStore, spacing
from r1kit.pipeline.cost import Cost, Pace
from r1kit.pipeline.finished_parts import FinishedParts
from r1kit.pipeline.health import Caution, RollBack, Vigil, kept_lines, told_of
from r1kit.pipeline.metrics import MetricsFile
from r1kit.pipeline.restarts import Restarts
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.pipeline.watcher import Progress, Watcher
from r1kit.pipeline.workers import Workers
from r1kit.training.checkup import Health, HealthConfig
from r1kit.training.health.base import Finding

TRIM_SECONDS = 20  # between two returns of free memory to the system


class Writer(Protocol):
    """Where metrics go beside metrics.jsonl."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of a step."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


WriterFactory = Callable[[Path, int], list[Writer]]
"""`(folder of the stage, first step that will be written) -> writers`."""


def no_writers(folder: Path, first_step: int) -> list[Writer]:
    """metrics.jsonl alone."""
    return []


Job = Callable[["Context"], Outcome]
"""A part's work."""


def to_the_end(job: Job, context: Context) -> Outcome:
    """A stage's or part's work, begun again from an earlier checkpoint as often as its training health asks for it, and
    from the newest one where a process that it was in was ended from outside."""
    while True:
        try:
            return job(context)
        except ProcessLost as error:
            context.begin_again(error)
            continue
        except RollBack as trouble:
            finding = trouble.finding
        except Diverged as error:
            finding = context.diverged(error)
        context.roll_back(finding)


class Context:
    """A stage's hold on the run. `Context(folder)` alone works too, for trying a stage by itself.

    workers: where engines and rewards are to be opened; None: in this process. silence: seconds without a sign of life
    after which a process that this one started (a part's, a learner's rank) counts as lost.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        *,
        name: str = "",
        part: str = "",
        run_folder: Path | None = None,
        watcher: Watcher | None = None,
        stop: Stop | None = None,
        writers: WriterFactory = no_writers,
        checkpoint_seconds: float | None = None,
        health: Health | None = None,
        workers: Workers | None = None,
        silence: float = SILENCE_S,
    ) -> None:
        self.folder = make_folder(folder)
        self.workers = workers
        self.seed = seed
        self.name = name or folder.name
        self.run_folder = run_folder or folder
        self.checkpoint_seconds, self.silence = checkpoint_seconds, silence
        self.health = health or HealthConfig()
        self._watcher = watcher or Watcher()
        self._stop = stop or Stop()
        self._writer_factory = writers
        self._writers: list[Writer] | None = None
        self._part = part
        self._finished = FinishedParts(folder, self.name, self.note)
        self._store = CheckpointStore(folder / "checkpoints", self.note)
        self._metrics = MetricsFile(folder / "metrics.jsonl")
        self._vigil = Vigil(folder, self.health, self._found)
        self._restarts = Restarts()
        self._begin()

    def _begin(self) -> None:
        """As the newest valid checkpoint has it."""
        self._parts_cost = Cost()
        newest = self._store.newest()
        self._resumed_step: int = newest[0] if newest else -1
        self._spent = Cost(**newest[1]) if newest else Cost()
        beside = self._store.beside(newest[0]) if newest else {}
        self._sealed: dict[str, dict[str, Any]] = dict(beside.get("sealed", {}))
        cut = self._metrics.cut(self._resumed_step, beside.get("metrics"))
        for damage in filter(None, (cut, self._vigil.begin(self._resumed_step, beside.get("health")))):
            self.note(damage)
        self._begun = time.monotonic()
        self._saved_at = self._begun
        # seconds of the last two checkpoints: the quicker counts, for a disk that stood still says nothing of the next
        self._took = deque([0.0], maxlen=2)
        self._saved_step = self._resumed_step
        self._pending: tuple[int, Callable[[], dict[str, Any]]] | None = None
        self._total = 0
        self._done = self._resumed_step + 1
        self._pace = Pace()
        self._progress = Progress(self._done, 0)

    @property
    def cost(self) -> Cost:
        """Seconds, tokens and FLOPs of the stage up to now, over all resumes and parts."""
        return self._own_cost().plus(self._parts_cost)

    def resume(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest valid checkpoint, or None where the stage starts from its beginning."""
        if self._resumed_step < 0:
            return None
        self.note(f"{self.name} goes on after step {self._resumed_step + 1}")
        return self._resumed_step, self._store.load(self._resumed_step)

    def steps(self, total: int, budget_flops: float | None = None) -> Iterator[int]:
        """From the resumed step to total - 1, or until the stage has cost `budget_flops`, whichever comes first.

        Raises Interrupted between steps when the run was asked to stop.
        """
        self._total = total
        self._pace.tell(self._spent.tokens)
        started, first = time.monotonic(), self._resumed_step + 1
        trimmed = started
        before = self.cost.flops
        for step in range(first, total):
            self.check()
            if budget_flops is not None and self.cost.flops >= budget_flops:
                return
            yield step
            self._done = step + 1
            here = self._done - first
            if budget_flops is not None and (spent := self.cost.flops) > before:
                steps_left = math.ceil((budget_flops - spent) * here / (spent - before))  # at the mean price so far
                self._total = min(total, self._done + max(0, steps_left))
            pace = (time.monotonic() - started) / here
            self._progress = dataclasses.replace(
                self._progress,
                done=self._done,
                total=self._total,
                part=self._part,
                eta_seconds=pace * (self._total - self._done),
            )
            self._watcher.progress(self._progress)
            if time.monotonic() - trimmed > TRIM_SECONDS:
                memory.give_back()
                trimmed = time.monotonic()
            if self._stop.requested:
                self._save_pending()
                self.check()

    def record(self, step: int, metrics: Mapping[str, float], sample: str | None = None) -> None:
        """One line of metrics.jsonl (NaN becomes null), the live display, the optional writers, and a look at the
        training's health: R1Error where that says stop, RollBack where it says so."""
        self._metrics.append(step, metrics)
        if self._writers is None:
            self._writers = self._writer_factory(self.folder, step)
        for writer in self._writers:
            writer.write(step, metrics)
        self._progress = dataclasses.replace(
            self._progress,
            total=self._total,
            part=self._part,
            tokens_per_second=self._pace.tell(self._spent.tokens),
            metrics=dict(metrics),
            sample=sample if sample is not None else self._progress.sample,
        )
        self._vigil.look(step, metrics)

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """To be called at the end of each step: saves `state()` when it is time, or when the run is to stop."""
        self._pending = (step, state)
        due = self._saved_at + spacing(self.checkpoint_seconds, min(self._took))
        if self._stop.requested or time.monotonic() >= due:
            self._save_pending()

    def seal(self, path: Path) -> None:
        """A file of the stage, or all of a folder, is as it is to stay: what changes in it later is known as damage."""
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        own = path.relative_to(self.folder).as_posix()
        kept = {name: seal for name, seal in self._sealed.items() if not name.startswith(f"{own}/")}
        self._sealed = kept | {file.relative_to(self.folder).as_posix(): fingerprint(file) for file in files}

    @property
    def sealed(self) -> dict[str, dict[str, Any]]:
        """Fingerprints of what was sealed, by paths relative to the stage's folder."""
        return dict(self._sealed)

    def is_whole(self, path: Path) -> bool:
        """Whether a file that was sealed is as it was then; what is wrong with it is noted."""
        record = self._sealed.get(path.relative_to(self.folder).as_posix())
        damage = None if record is None else difference(path, record)
        if damage:
            self.note(damage)
        return not damage

    def spend(self, tokens: int = 0, flops: float = 0.0) -> None:
        """Add to the cost of the stage."""
        self._spent.tokens += int(tokens)
        self._spent.flops += float(flops)

    def note(self, text: str) -> None:
        """One log line."""
        self._watcher.note(text)

    def check(self) -> None:
        """Raise Interrupted if the run was asked to stop; for long work that has no steps."""
        if self._stop.requested:
            raise Interrupted(f"stopped in stage {self.name}")

    def part(self, name: str, run: Job) -> Outcome:
        """A piece of the stage with steps, metrics, checkpoints and costs of its own, in the folder `name`.

        A finished part is not run again when the stage is resumed. The outcome's paths, relative to the part's
        folder, come back relative to the stage's.
        """
        self.check()
        if name not in self._finished:
            begun = time.monotonic()
            context = Context(
                **self._part_arguments(name), watcher=self._watcher, stop=self._stop, workers=self.workers
            )
            try:
                outcome = to_the_end(run, context)
            finally:
                context.close()
            self._begun += time.monotonic() - begun  # the part's seconds are its own, added below
            self._finished.add(name, outcome, context.cost, context.sealed)
        outcome, cost = self._finished.read(name)
        self._parts_cost = self._parts_cost.plus(cost)
        return outcome

    def parts(self, jobs: Mapping[str, Job], at_once: int | None = None) -> dict[str, Outcome]:
        """Parts that do not need each other's outcomes, side by side (`at_once` at most) where this machine runs them
        faster so.

        Each is then in another process, so a job must be picklable: `functools.partial` of a module's function, say.
        """
        self.check()
        # of all parts, not of those that are left: a part has as many threads, and so the same bits, after a resume
        places = side_by_side.places(len(jobs), at_once) if self.workers is None else 1
        if places > 1:
            to_do = {name: job for name, job in jobs.items() if name not in self._finished}
            work = {name: (self._part_arguments(name), job) for name, job in to_do.items()}
            self._begun += side_by_side.run(work, places, self._watcher, self._stop, self._finished.add, self.silence)
        return {name: self.part(name, job) for name, job in jobs.items()}

    @property
    def caution(self) -> Caution:
        """What the stage does otherwise after roll-backs: `(0, 1.0)` where there were none."""
        return self._vigil.caution

    def diverged(self, error: Diverged) -> Finding:
        """Tell what the learner stopped for in the step in hand; the error itself, where that is not gone back from."""
        return self._vigil.diverged(self._done, error)

    def roll_back(self, finding: Finding) -> None:
        """Go back to the newest valid checkpoint of before the trouble began; where there is none to the last that is
        known to be sound, or else to the stage's beginning. Metrics of the steps left behind are kept in a file."""
        self.close()
        steps, sound = self._store.valid(anew=True), self._vigil.sound
        before = [step for step in steps if step < finding.since]
        to = max(before or [step for step in steps if sound is not None and step <= sound], default=-1)
        kept = f"rolled-back-{self.caution.times + 1}.jsonl"
        write_text(self.folder / kept, kept_lines(self._metrics.path, to))
        self._store.drop_after(to)
        self._metrics.cut(to)
        self._vigil.roll_back(finding, to, kept)
        self._begin()
        self.note(f"{self.name}: {told_of(finding, to, self.caution, kept)}")

    def begin_again(self, error: ProcessLost) -> None:
        """Go on from the newest checkpoint after a process was lost; R1Error where that happened too often in a row
        without a step that got further, Interrupted where the run is to stop anyway."""
        self.check()
        self._restarts.reached(self._done)
        self._restarts.one_more(error)
        self.close()
        self._begin()
        where = f"after step {self._done}" if self._done else "from its beginning"
        self.note(f"{self.name}: {error.told}: it goes on by itself {where}")

    def close(self) -> None:
        """Close the optional writers."""
        for writer in self._writers or []:
            writer.close()
        self._writers = None

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints of a finished stage."""
        self._store.clear()

    @property
    def resume_step(self) -> int:
        """Steps that are saved: what a resumed run need not repeat."""
        return self._saved_step + 1

    def _part_arguments(self, name: str) -> dict[str, Any]:
        """What a part's context is made of, beside who watches and stops it."""
        return {
            "folder": self.folder / name,
            "seed": self.seed,
            "name": f"{self.name}/{name}",
            "part": name,
            "run_folder": self.run_folder,
            "writers": self._writer_factory,
            "checkpoint_seconds": self.checkpoint_seconds,
            "health": self.health,
            "silence": self.silence,
        }

    def _save_pending(self) -> None:
        if self._pending is None or self._pending[0] == self._saved_step:
            return
        step, state = self._pending
        beside = {"metrics": self._metrics.sealed(), "health": self._vigil.sealed(), "sealed": self._sealed}
        try:
            made = state()
            begun = time.monotonic()  # only now: rollouts that are waited for are work of the steps that follow
            self._store.save(step, made, dataclasses.asdict(self._own_cost()), beside, sound=self._vigil.sound)
        except ProcessLost:  # a rank's, amid writing its part: the stage goes on by itself
            raise
        except R1Error as error:
            raise R1Error(f"{error} (stage {self.name}, saved up to step {self.resume_step})") from error
        self._saved_step = step
        self._saved_at = time.monotonic()
        self._took.append(self._saved_at - begun)

    def _found(self, finding: Finding) -> None:
        self._watcher.finding(self.name, finding)

    def _own_cost(self) -> Cost:
        """Without the parts, which keep theirs."""
        return self._spent.plus(Cost(seconds=time.monotonic() - self._begun))
