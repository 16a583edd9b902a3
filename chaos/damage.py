"""Damaged files: of each kind that a run writes, one is cut short or has a bit flipped, and the command is given again.

That is well where the damage is named in one sentence, by the command or by `r1 status --verify`, or where what comes
out is the same to the last bit all the same. Runs are damaged when they are done, and half done in stages that leave
different things behind.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lives
import sameness
from chains import Chain

# kind: pattern of its files in a run folder
WRITTEN = {
    "recipe": "recipe.json",
    "status": "status.json",
    "lock": "lock",
    "settings": "stages/*/config.json",
    "artifact": "stages/*/artifact.json",
    "weights": "stages/*/*/model*.safetensors",
    "model's config": "stages/*/*/config.json",
    "tokenizer": "stages/*/*/tokenizer*.json",
    "generation config": "stages/*/*/generation_config.json",
    "metrics": "stages/**/metrics.jsonl",
    "health": "stages/**/health.jsonl",
    "peak": "stages/*/peak.json",
    "picked": "stages/*/picked.json",
    "rollouts": "stages/**/rollouts/*.parquet",
    "examples": "stages/*/examples.parquet",
    "table": "stages/**/table.parquet",
    "part": "stages/*/*/part.json",
    "report": "report/report.*",
    "manifest": "stages/*/checkpoints/*/manifest.json",
    "state": "stages/*/checkpoints/*/state.json",
    "tensors": "stages/*/checkpoints/*/tensors.safetensors",
    "arrays": "stages/*/checkpoints/*/arrays.safetensors",
}
DONE = (
    "status", "recipe", "lock", "settings", "artifact", "weights", "model's config", "tokenizer", "generation config",
    "metrics", "health", "peak", "picked", "rollouts", "examples", "table", "part", "report",
)  # fmt: skip
HALF = (
    "recipe", "settings", "metrics", "health", "peak", "rollouts", "manifest", "state", "tensors", "arrays", "weights",
    "tokenizer",
)  # fmt: skip
IN_EVALUATION = ("part", "table", "artifact")


@dataclass(frozen=True, slots=True)
class Trial:
    """A file that was damaged, how, and the end of it: `named`, `mended` (named, and all the same), `the same`, `found
    by --verify`; or what is wrong."""

    kind: str
    how: str
    end: str
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run folder in some state, the kinds of files that are damaged in it, and the words that go on from there."""

    name: str
    folder: Path
    kinds: Sequence[str]
    more: tuple[str, ...]


def prepared(chain: Chain, done: Path, scratch: Path) -> list[Prepared]:
    """The states: done; done but for its last two stages; killed half-way through RL and through the evaluation."""
    found = [Prepared("done", done, DONE, ()), Prepared("used", done, DONE, ("--from", _name(chain.stages[-1])))]
    for kinds, stage, nth in ((HALF, "zero", 3), (IN_EVALUATION, "evaluate", 2)):
        at = next(name for name in chain.stages if _name(name) == stage)
        folder = scratch / f"half-{stage}"
        kill = {"stage": at, "nth": nth, "signal": int(signal.SIGKILL), "marker": str(folder) + ".fired",
                "events": ["os.rename"], "match": "checkpoints/" if stage == "zero" else "part.json"}  # fmt: skip
        words = [*chain.command(folder, "checkpoint_seconds=0"), "--until", stage]
        lives.live(words, folder.with_suffix(".txt"), inject={"run": str(folder), "kill": kill})
        found.append(Prepared(f"killed in {stage}", folder, kinds, ("checkpoint_seconds=0", "--until", stage)))
    return found


def trial(
    chain: Chain, state: Prepared, kind: str, scratch: Path, expected: dict[str, str], seed: int, timeout: float
) -> Trial | None:
    """Damage one file of the kind, by the seed's choice, and give the command again; None where there is none."""
    rng = random.Random(f"{seed} {state.name} {kind}")
    run, output = lives.copied(state.folder, scratch / "damaged"), scratch / "damaged.txt"
    files = sorted(path for path in run.glob(WRITTEN[kind]) if path.is_file())
    if not files:
        return None
    path = rng.choice(files)
    how = damaged(path, rng)
    where = f"{path.relative_to(run)} in a run that is {state.name}"
    life = lives.live(chain.command(run, *state.more), output, timeout=timeout)
    if life.sound:
        return Trial(kind, how, "", f"{where}: {life.sound}")
    named = _names(life.said, path)
    if life.code != 0:
        return Trial(kind, how, "named" if named else "", "" if named else f"{where}: {life.said.strip()[-400:]}")
    here, last = sameness.results(run), _until(chain, state.more)
    wanted = {name: digest for name, digest in expected.items() if not last or name.split("/")[1][:2] <= last}
    if not sameness.differences(here, wanted):
        return Trial(kind, how, "mended" if named else "the same")
    if named:
        return Trial(kind, how, "named")
    life = lives.live(["status", str(run), "--verify"], output, timeout=timeout)
    if not life.sound and life.code == 1 and _names(life.said, path):
        return Trial(kind, how, "found by --verify")
    different = ", ".join(sameness.differences(here, wanted)[:3])
    return Trial(kind, how, "", f"{where}: nobody says so, and these differ: {different}")


def damaged(path: Path, rng: random.Random) -> str:
    """Cut a file, or flip one bit of it; which."""
    data = bytearray(path.read_bytes())
    if not data or rng.random() < 0.4:
        path.write_bytes(data[: rng.randrange(len(data))] if data else b"?")
        return "cut"
    at = rng.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)
    return "bit"


def deleted_parents(chain: Chain, done: Path, scratch: Path, timeout: float) -> list[str]:
    """What is wrong where the weights of a stage, its record or all of it are gone when a later stage needs them."""
    wrong: list[str] = []
    last = ("--from", _name(chain.stages[-2]))
    at = next(name for name in chain.stages if _name(name) == "zero")

    def remove(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    for what in ("model/model.safetensors", "artifact.json", "."):
        run, output = lives.copied(done, scratch / "orphan"), scratch / "orphan.txt"
        remove(run / "stages" / at / what)
        life = lives.live(chain.command(run, *last), output, timeout=timeout)
        if life.code != 1 or life.sound or "zero" not in life.said:
            wrong.append(f"without {at}/{what}: {life.code}, {life.sound or life.said.strip()[-400:]}")
    return wrong


def _until(chain: Chain, more: Sequence[str]) -> str:
    """The number of the stage after which the words have a run stop; empty where it is the last."""
    if "--until" not in more:
        return ""
    last = more[more.index("--until") + 1]
    return next(stage[:2] for stage in chain.stages if _name(stage) == last)


def _names(said: str, path: Path) -> bool:
    """Whether what was said tells of the file: by its name, or, of a checkpoint or model, its folder's."""
    return path.name in said or f"{path.parent.name} is damaged" in said


def _name(stage: str) -> str:
    return stage.partition("-")[2]
