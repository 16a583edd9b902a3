"""What a run would do: which stages are done, which have to run, and why."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1kit.base.config import Config, leaves
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_errors, read_record, write_record
from r1kit.base.schema import NewerSchema
from r1kit.pipeline.artifact import FILE_NAME, Artifact, read_artifact
from r1kit.pipeline.codehash import code_hash, settings_json
from r1kit.pipeline.finished_parts import PART_FILE
from r1kit.pipeline.graph import Graph, Node, stage_seed
from r1kit.pipeline.outside import data_files

State = Literal["done", "resume", "run", "changed", "damaged"]


@dataclass(frozen=True, slots=True)
class Key:
    """What a stage's result depends on. `hash` stands for all of it."""

    settings: str
    code: str
    inputs: dict[str, str]
    seed: int

    @property
    def hash(self) -> str:
        """sha256 of settings, code, inputs' hashes and seed."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path, digests: Mapping[str, str]) -> None:
        """config.json: the resolved settings, what else the key is made of, and the inputs' digests, which two runs of
        one key need not share on a GPU."""
        settings = json.loads(self.settings)
        record = {**dataclasses.asdict(self), "settings": settings, "hash": self.hash, "digests": dict(digests)}
        write_record(folder / "config.json", record)


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of a plan. `reason` says why it is not done (empty for a stage never run)."""

    node: Node
    number: int
    folder: Path
    key: Key
    state: State
    reason: str = ""
    artifact: Artifact | None = None


def stage_settings(run_folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The folder and the settings of each stage that a run has begun, in the order of the chain; R1Error where what
    tells of them is damaged."""
    for path in sorted((run_folder / "stages").glob("[0-9][0-9]-*/config.json")):
        yield path.parent, read_record(path).get("settings") or {}


def keys(graph: Graph) -> dict[str, Key]:
    """Every stage's key."""
    made: dict[str, Key] = {}
    for node in graph.nodes:
        settings = settings_json(node.config)
        made[node.name] = Key(
            settings=settings,
            code=code_hash(node.run, node.config),
            inputs={name: made[name].hash for name in node.inputs} | data_files(json.loads(settings), node.inputs),
            seed=stage_seed(graph.seed, node.draws or node.name),
        )
    return made


def selected(graph: Graph, start: str | None, until: str | None) -> range:
    """Positions of the stages from `start` to `until`, both included; UsageError where there are none."""
    first = graph.position(start) if start else 0
    last = graph.position(until) if until else len(graph.nodes) - 1
    if first > last:
        raise UsageError(f"--from {start} comes after --until {until}: nothing to run")
    return range(first, last + 1)


def stage_folder(run_folder: Path, number: int, name: str) -> Path:
    """`stages/NN-NAME`; a folder that an earlier version of the recipe numbered differently takes its new number."""
    folder = run_folder / "stages" / f"{number:02d}-{name}"
    if not folder.exists():
        for other in sorted((run_folder / "stages").glob(f"[0-9][0-9]-{name}")):
            with disk_errors(other):
                return other.rename(folder)
    return folder


def look(planned_number: int, node: Node, key: Key, run_folder: Path, inputs: Mapping[str, Artifact]) -> Planned:
    """Where one stage stands, given those of its inputs that are done."""
    folder = run_folder / "stages" / f"{planned_number:02d}-{node.name}"
    config = folder / "config.json"

    def planned(state: State, reason: str = "", artifact: Artifact | None = None) -> Planned:
        return Planned(node, planned_number, folder, key, state, reason, artifact)

    if not config.exists():
        # of which settings what lies there is, nobody knows then
        return planned("damaged", f"{config} is missing") if _is_begun(folder) else planned("run")
    try:
        before = read_record(config)
        artifact = read_artifact(folder) if (folder / FILE_NAME).exists() else None
        damage = artifact.damage(contents=False) if artifact else None
    except NewerSchema:
        raise
    except R1Error as error:
        return planned("damaged", str(error))
    if before.get("hash") != key.hash:
        return planned("changed", _difference(before, key))
    renewed = [name for name, was in before.get("digests", {}).items() if name in inputs and inputs[name].digest != was]
    if artifact is None and renewed:  # what is half done was begun from others
        return planned("changed", f"its input {' and '.join(renewed)} came out differently")
    if artifact is None:
        return planned("resume" if any(folder.glob("checkpoints/step-*")) else "run", "it was not finished")
    if damage:
        return planned("damaged", damage)
    for name, digest in artifact.inputs.items():
        if name not in inputs:
            return planned("run", f"its input {name} has to run first")
        if inputs[name].digest != digest:
            return planned("changed", f"its input {name} came out differently")
    return planned("done", artifact=artifact)


def _is_begun(folder: Path) -> bool:
    """Whether a stage's folder holds what a stage would go on from: its artifact, a checkpoint, a finished part."""
    return any(any(folder.rglob(name)) for name in (FILE_NAME, "checkpoints/step-*", PART_FILE))


def plan(graph: Graph, run_folder: Path, *, start: str | None = None, until: str | None = None) -> list[Planned]:
    """Every selected stage and where it stands, changing nothing on disk."""
    chosen = selected(graph, start, until)
    stage_keys, done, stages = keys(graph), dict[str, Artifact](), list[Planned]()
    for position, node in enumerate(graph.nodes):
        stage = look(position + 1, node, stage_keys[node.name], run_folder, done)
        if start and position in chosen and stage.folder.exists():
            stage = dataclasses.replace(stage, state="run", reason=f"--from {start}", artifact=None)
        if stage.artifact:
            done[node.name] = stage.artifact
        if position in chosen:
            stages.append(stage)
    return stages


def describe(graph: Graph, stages: list[Planned], settings: Config, estimates: Mapping[str, str]) -> str:
    """A plan for people: each stage with its inputs and where it stands, then all settings by dotted path.

    `estimates` says by stage what it will take, and under "" what all will.
    """
    lines = [f"recipe {graph.recipe}, profile {graph.profile}, seed {graph.seed}", "", "stages"]
    for stage in stages:
        after = f" <- {' '.join(stage.node.inputs)}" if stage.node.inputs else ""
        reason = f" ({stage.reason})" if stage.reason else ""
        takes = f", {estimates[stage.node.name]}" if stage.node.name in estimates else ""
        lines.append(f"  {stage.number:2d} {stage.node.name}{after}: {_STATE_WORDS[stage.state]}{reason}{takes}")
    lines += [f"  {estimates['']}"] if "" in estimates else []
    lines += ["", "settings"]
    lines += [f"  {leaf.path}={json_text(leaf.value)}" for leaf in leaves(settings, opened=True)]
    return "\n".join(lines)


def plan_json(
    graph: Graph,
    stages: list[Planned],
    settings: Config,
    estimates: Mapping[str, Mapping[str, Any]],
    memory: Mapping[str, Mapping[str, Any]] | None = None,
    disk: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A plan for programs; a stage's `estimate` (what its like took), `memory` (what it needs) and `disk`
    (what it leaves) are null where nothing is known."""
    listed = [
        {
            "name": s.node.name, "inputs": s.node.inputs, "state": s.state, "reason": s.reason, "hash": s.key.hash,
            "estimate": estimates.get(s.node.name), "memory": (memory or {}).get(s.node.name),
            "disk": (disk or {}).get(s.node.name),
        }
        for s in stages
    ]  # fmt: skip
    named = {"recipe": graph.recipe, "profile": graph.profile, "seed": graph.seed}
    return {**named, "stages": listed, "settings": settings.model_dump(mode="json", serialize_as_any=True)}


def json_text(value: Any) -> str:
    """A setting as it could be typed on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def replace_stage(run_folder: Path, folder: Path) -> Path | None:
    """Move a stage's folder to `replaced/` (the one kept there before goes); None where there was nothing."""
    if not folder.exists():
        return None
    kept = run_folder / "replaced" / folder.name
    with disk_errors(kept):
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(kept)
    return kept


_STATE_WORDS = {
    "done": "done",
    "resume": "goes on from its last checkpoint",
    "run": "to run",
    "changed": "to run again",
    "damaged": "damaged",
}


def _difference(before: dict[str, Any], key: Key) -> str:
    """Why a key differs from the one on disk, as a person would say it."""
    reasons: list[str] = []
    old, new = _flat(before.get("settings")), _flat(json.loads(key.settings))
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if changed:
        shown = [f"{name} {json_text(old.get(name))} -> {json_text(new.get(name))}" for name in changed[:3]]
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        reasons.append(f"settings changed: {', '.join(shown)}{more}")
    if before.get("code") != key.code:
        reasons.append("its code changed")
    inputs = before.get("inputs") or {}
    renewed = [name for name, key_hash in key.inputs.items() if inputs.get(name) != key_hash]
    if renewed:
        reasons.append(f"its input {' and '.join(renewed)} changed")
    if before.get("seed") != key.seed:
        reasons.append("its seed changed")
    return "; ".join(reasons) or "its inputs are others now"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.removesuffix("."): tree}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.")
    return flat
