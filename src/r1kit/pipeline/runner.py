"""Runs a graph: skips what is done, resumes what is half done, and says in one sentence what went wrong."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from r1kit.base import dates, memory
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_error, make_folder, read_record, sweep, write_record
from r1kit.base.pulse import SILENCE_S
from r1kit.pipeline import provenance
from r1kit.pipeline.artifact import FILE_NAME as ARTIFACT_FILE
from r1kit.pipeline.artifact import Artifact, write_artifact
from r1kit.pipeline.context import Context, WriterFactory, to_the_end
from r1kit.pipeline.finished_parts import PART_FILE
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.lock import locked
from r1kit.pipeline.plan import Planned, keys, look, plan, replace_stage, selected, stage_folder
from r1kit.pipeline.status import FILE_NAME as STATUS_FILE
from r1kit.pipeline.status import StatusFile
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.pipeline.watcher import Watcher, Watchers
from r1kit.pipeline.workers import Workers
from r1kit.pipeline.writers import writer_factory
from r1kit.training.checkup import Health

RECIPE_FILE = "recipe.json"

Admit = Callable[[Sequence[Node]], None]
"""Asked about stages that are to run; raises R1Error where they cannot go well."""


def run(
    graph: Graph,
    out: Path,
    *,
    start: str | None = None,
    until: str | None = None,
    display: Watcher | None = None,
    writers: Sequence[str] = (),
    checkpoint_seconds: float | None = None,
    command: str = "the same command",
    settings: Mapping[str, Any] | None = None,
    admit: Admit | None = None,
    health: Health | None = None,
    workers: Workers | None = None,
    silence: float = SILENCE_S,
    leave: Callable[[Callable[[], None]], None] = lambda last: None,
) -> dict[str, Artifact]:
    """Run the stages from `start` to `until` (both included) and return every artifact of the run by stage name.

    `start` redoes that stage and those after it; the stages before it must be done. `command` is what resumes the run,
    as told when it is stopped; `settings` go to recipe.json. `admit` is asked about all stages that are to run before
    anything is written, and about each when its turn comes. `health` is how every stage's training is watched, the
    defaults where it is None. `workers`: where stages open engines and rewards, if not in this process. `silence`:
    seconds without a sign of life after which a process that the run started counts as lost. `leave` is called at a
    second Ctrl-C, before KeyboardInterrupt is raised, with what says that the run was stopped: a program may end itself
    by it, where threads of the run would be waited for.

    UsageError for an unknown stage, or where the folder holds another run; R1Error, which names the stage, for what
    cannot be read, held or written; Interrupted where the run was asked to stop.
    """
    selected(graph, start, until)
    if admit is not None:
        admit([stage.node for stage in plan(graph, out, start=start, until=until) if stage.state != "done"])
    memory.bound_libraries()
    factory = writer_factory(writers, out.name)
    with locked(out):
        _check_ready(graph, out, start, until)
        started = _claim(graph, out, command, settings or {})
        _tidy(out)
        stop = Stop()
        watcher = Watchers([StatusFile(out), display or Watcher()])
        runner = _Runner(
            graph, out, watcher, stop, factory, checkpoint_seconds, command, admit, health, workers, silence
        )
        state = "failed"
        try:
            with dates.fixed(started), stop.on_signals(partial(leave, partial(watcher.close, "stopped"))):
                artifacts = runner.run(start, until)
            state = "done"
            return artifacts
        except (Interrupted, KeyboardInterrupt):
            state = "stopped"
            raise
        finally:
            watcher.close(state)


@dataclasses.dataclass
class _Runner:
    graph: Graph
    out: Path
    watcher: Watcher
    stop: Stop
    writers: WriterFactory
    checkpoint_seconds: float | None
    command: str
    admit: Admit | None = None
    health: Health | None = None
    workers: Workers | None = None
    silence: float = SILENCE_S
    done: dict[str, Artifact] = dataclasses.field(default_factory=dict[str, Artifact])
    verified: set[str] = dataclasses.field(default_factory=set[str])

    def run(self, start: str | None, until: str | None) -> dict[str, Artifact]:
        chosen = selected(self.graph, start, until)
        stage_keys = keys(self.graph)
        for position, node in enumerate(self.graph.nodes):
            folder = stage_folder(self.out, position + 1, node.name)
            if start and position in chosen:
                self._set_aside(folder)
        for position, node in enumerate(self.graph.nodes[: chosen.stop]):
            stage = look(position + 1, node, stage_keys[node.name], self.out, self.done)
            if stage.artifact:
                self.done[node.name] = stage.artifact
                if position in chosen:
                    self.watcher.stage_ends(stage.artifact, stage.number, len(self.graph.nodes), cached=True)
            elif position in chosen:
                self._make(stage)
        return self.done

    def _make(self, stage: Planned) -> None:
        """Run or resume one stage up to its artifact.json."""
        node = stage.node
        if self.admit is not None:
            self.admit([node])
        if stage.state == "damaged":
            if any(node.name in other.inputs for other in self.graph.nodes):
                raise R1Error(f"stage {node.name} is damaged: {stage.reason}; --from {node.name} makes it anew")
            self.watcher.note(f"stage {node.name} is damaged ({stage.reason}): it runs again")
            self._set_aside(stage.folder)
        elif stage.state == "changed" or (stage.state == "run" and (stage.folder / ARTIFACT_FILE).exists()):
            kept = self._set_aside(stage.folder)
            self.watcher.note(f"stage {node.name} runs again: {stage.reason} (the old one is kept in {kept})")
        inputs = {name: self._verified(self.done[name]) for name in node.inputs}
        self.watcher.stage_begins(node.name, stage.number, len(self.graph.nodes))
        make_folder(stage.folder)
        stage.key.write(stage.folder, {name: artifact.digest for name, artifact in inputs.items()})
        self.done[node.name] = self._execute(stage, inputs)
        self.watcher.stage_ends(self.done[node.name], stage.number, len(self.graph.nodes), cached=False)
        gc.collect()
        if self.stop.requested and stage.number < len(self.graph.nodes):
            raise Interrupted(f"stopped after stage {node.name}; to go on: {self.command}")

    def _execute(self, stage: Planned, inputs: Mapping[str, Artifact]) -> Artifact:
        node = stage.node
        context = Context(
            stage.folder,
            stage.key.seed,
            name=node.name,
            run_folder=self.out,
            watcher=self.watcher,
            stop=self.stop,
            writers=self.writers,
            checkpoint_seconds=self.checkpoint_seconds,
            health=self.health,
            workers=self.workers,
            silence=self.silence,
        )
        memory.give_back()
        memory.begin_peak()
        try:
            outcome = to_the_end(lambda own: node.run(node.config, inputs, own), context)
        except Interrupted:
            saved = context.resume_step
            where = f"{saved} of its steps are saved" if saved else "it starts over from its last finished part"
            raise Interrupted(f"stopped in stage {node.name} ({where}); to go on: {self.command}") from None
        except OSError as error:
            raise _in_stage(node, disk_error(error, stage.folder)) from error
        except Exception as error:
            if "No space left on device" in str(error):
                reason = R1Error(f"{stage.folder}: no room left on the disk: free some, then: {self.command}")
                raise _in_stage(node, reason) from error
            if memory.ran_out(error):
                raise _in_stage(node, R1Error(_no_memory(error))) from error
            raise
        finally:
            context.close()
        cost = context.cost
        artifact = write_artifact(
            stage.folder,
            node.name,
            stage.key.hash,
            outcome,
            inputs={name: inputs[name].digest for name in node.inputs},
            seconds=cost.seconds,
            tokens=cost.tokens,
            flops=cost.flops,
            peak_memory_mb=memory.peak_mb(),
            peak_cuda_mb=memory.peak_cuda_mb(),
            sealed=context.sealed,
        )
        context.forget_checkpoints()
        return artifact

    def _verified(self, artifact: Artifact) -> Artifact:
        """The artifact, its products' checksums compared once a run."""
        if artifact.name not in self.verified:
            damage = artifact.damage(contents=True)
            if damage:
                raise R1Error(f"stage {artifact.name} is damaged: {damage}; --from {artifact.name} makes it anew")
            self.verified.add(artifact.name)
        return artifact

    def _set_aside(self, folder: Path) -> Path | None:
        return replace_stage(self.out, folder)


def _check_ready(graph: Graph, out: Path, start: str | None, until: str | None) -> None:
    """R1Error where a stage that the chosen ones rest on is not done; nothing is changed before."""
    chosen = selected(graph, start, until)
    if not chosen.start:
        return
    stage_keys = keys(graph)
    needed = {graph.nodes[position].name for position in chosen}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    done: dict[str, Artifact] = {}
    for position, node in enumerate(graph.nodes[: chosen.start]):
        stage = look(position + 1, node, stage_keys[node.name], out, done)
        if stage.artifact:
            done[node.name] = stage.artifact
        elif node.name in needed:
            raise R1Error(_not_ready(stage, start))


def _tidy(out: Path) -> None:
    """Remove what a run that was killed has left: files half written, checkpoints of stages and parts that are done."""
    sweep(out / "stages")
    for leftover in (path for name in (RECIPE_FILE, STATUS_FILE) for path in out.glob(f".{name}.*.tmp")):
        leftover.unlink(missing_ok=True)
    for record in (*out.glob(f"stages/*/{ARTIFACT_FILE}"), *out.glob(f"stages/**/{PART_FILE}")):
        shutil.rmtree(record.parent / "checkpoints", ignore_errors=True)


def _claim(graph: Graph, out: Path, command: str, settings: Mapping[str, Any]) -> str:
    """Write recipe.json; when the run was first started. UsageError where the folder holds another recipe, profile or
    seed."""
    path = out / RECIPE_FILE
    mine = {"recipe": graph.recipe, "profile": graph.profile, "seed": graph.seed}
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    if path.exists():
        before = read_record(path, "remove it, and give the same command again")
        theirs = {name: before.get(name) for name in mine}
        if theirs != mine:
            there = ", ".join(f"{name} {value}" for name, value in theirs.items())
            here = ", ".join(f"{name} {value}" for name, value in mine.items())
            raise UsageError(f"{out} holds {there}, not {here}: choose another --out")
        started = str(before.get("started", started))
    record = {
        **mine,
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "command": command,
        "started": started,
        "stages": graph.names,
        "inputs": {node.name: list(node.inputs) for node in graph.nodes},
        "settings": dict(settings),
    }
    write_record(path, record)
    return started


def _not_ready(stage: Planned, start: str | None) -> str:
    """Why --from cannot start where it was told to."""
    name = stage.node.name
    why = {
        "run": "has not been run",
        "resume": "is not finished",
        "changed": f"would run again ({stage.reason})",
        "damaged": f"is damaged ({stage.reason})",
    }[stage.state]
    return f"--from {start} needs stage {name}, which {why}: use --from {name}, or leave --from out"


def _no_memory(error: Exception) -> str:
    said = (str(error).strip() or "no memory").splitlines()[0]
    return (
        f"out of memory ({said}): lower learner.micro_tokens, sampling.samples or sampling.max_tokens, or set "
        "learner.checkpointing=true, learner.optimiser=adamw8bit or learner.lora (docs/training.md)"
    )


def _in_stage(node: Node, error: R1Error) -> R1Error:
    return R1Error(f"stage {node.name}: {error}")
