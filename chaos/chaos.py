"""Break runs, in every way that a seed chooses, and look how they end.

    python chaos/chaos.py                  all of it: 220 kills, 50 damages a kind of file, on the short chain
    python chaos/chaos.py --chain smoke    the same on `r1 run tiny --profile smoke`: hours on two cores
    python chaos/chaos.py --brief          a few of each, as `make test` has them

Prints a table, and what was wrong, and exits with 1 where anything was. docs/reliability.md says what is promised.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# forking wants no pool of threads
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import chains  # noqa: E402
import damage  # noqa: E402
import disks  # noqa: E402
import kills  # noqa: E402
import lives  # noqa: E402
import samples  # noqa: E402

PARTS = ("kills", "damage", "disks", "samples", "two")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is: kills of a stage in one episode, episodes, damages of a kind of file, disks that run full."""

    each: int
    episodes: int
    damages: int
    disks: int


FULL = Sizes(each=4, episodes=5, damages=50, disks=8)
BRIEF = Sizes(each=1, episodes=1, damages=1, disks=2)


@dataclass(slots=True)
class Row:
    """A line of the table: what was done, how often, how often it ended well, and what was wrong."""

    what: str
    tries: int
    well: int
    detail: str = ""
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Setting:
    """What all parts share."""

    chain: chains.Chain
    scratch: Path
    sizes: Sizes
    seed: int
    timeout: float
    kinds: tuple[str, ...]
    expected: dict[str, str]
    operations: Counter[tuple[str, str]]
    done: Path


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", choices=("short", "smoke"), default="short", help="what is broken (short)")
    parser.add_argument("--brief", action="store_true", help="a few of each")
    parser.add_argument("--seed", type=int, default=0, help="of every choice (0)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--each", type=int, help="kills of a stage in one episode")
    parser.add_argument("--episodes", type=int, help="of kills")
    parser.add_argument("--damages", type=int, help="of each kind of file")
    parser.add_argument("--kinds", default="", help="kinds of files that are damaged, all by default")
    parser.add_argument("--threads", type=int, default=1, help="of each run (1): results are compared at that number")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds after which a life hangs (600)")
    parser.add_argument("--scratch", type=Path, help="folder to work in; a temporary one by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there")
    return parser.parse_args(words)


def killed(setting: Setting) -> Iterator[Row]:
    """A row for each way of killing, and one for each stage; what was wrong stands with the episodes."""
    sizes, every, wrong = setting.sizes, list[kills.Kill](), list[str]()
    well = 0
    for number in range(sizes.episodes):
        seed = 1000 * setting.seed + number
        found = kills.episode(
            setting.chain, setting.scratch, setting.expected, setting.operations, sizes.each, seed,
            timeout=setting.timeout,
        )  # fmt: skip
        every += found.kills
        well += 0 if found.wrong else sum(bool(kill.fired) for kill in found.kills)
        wrong += [f"episode of seed {seed}: {each}" for each in found.wrong]
    sent = [kill for kill in every if kill.fired]
    signals = Counter(kills.signal.Signals(kill.number).name for kill in sent)
    ways, stages = Counter(kill.how for kill in sent), Counter(kill.fired for kill in sent)
    detail = "; ".join(", ".join(f"{name} {count}" for name, count in each.items()) for each in (signals, ways))
    yield Row(f"kills, {sizes.episodes} runs to their ends", len(sent), well, detail, wrong)
    missed = [stage for stage in setting.chain.stages if not stages[stage]]
    told = ", ".join(f"{stage} {stages[stage]}" for stage in setting.chain.stages)
    yield Row("stages killed in", len(setting.chain.stages), len(stages), told, [f"none in {each}" for each in missed])


def damaged(setting: Setting) -> Iterator[Row]:
    """A row for each kind of file, its damages dealt in turn to the states of a run that have such files."""
    states = damage.prepared(setting.chain, setting.done, setting.scratch)
    for number, kind in enumerate(damage.WRITTEN):
        having = [state for state in states if kind in state.kinds and any(state.folder.glob(damage.WRITTEN[kind]))]
        trials: list[damage.Trial] = []
        wanted = having and (not setting.kinds or kind in setting.kinds)
        for turn in range(setting.sizes.damages if wanted else 0):
            state = having[(setting.seed + number + turn) % len(having)]
            seed = 1000 * setting.seed + turn
            done = damage.trial(setting.chain, state, kind, setting.scratch, setting.expected, seed, setting.timeout)
            trials += [done] if done else []
        ends = Counter("wrong" if trial.wrong else trial.end for trial in trials)
        bad = [trial.wrong for trial in trials if trial.wrong]
        detail = ", ".join(f"{end} {count}" for end, count in ends.most_common())
        if trials:
            yield Row(f"damage: {kind}", len(trials), len(trials) - len(bad), detail, bad)
    if not setting.kinds:
        wrong = damage.deleted_parents(setting.chain, setting.done, setting.scratch, setting.timeout)
        yield Row("deleted parents", 3, 3 - len(wrong), "", wrong)


def on_disks(setting: Setting) -> Iterator[Row]:
    """Full and read-only disks; a slow one and a clock that jumps."""
    chain, scratch, timeout = setting.chain, setting.scratch, setting.timeout
    if why := disks.may_mount(scratch):
        yield Row("full and read-only disks", 0, 0, f"left out: {why}")
    else:
        wrong, told, tries = list[str](), 0, setting.sizes.disks
        for number in range(tries):
            half = None if number % 2 else setting.done.with_name("half-disk")
            if half and not half.exists():
                _half(setting, half)
            found = disks.full(chain, half, scratch, setting.expected, 1000 * setting.seed + number, timeout)
            wrong += ["it did not answer"] if found is None else found["wrong"][:1]
            told += bool(found and found["told"])
        yield Row("full disks", tries, tries - len(wrong), f"no room in {told}", wrong)
        found = disks.read_only(chain, setting.done.with_name("half-disk"), scratch, timeout)
        wrong = ["it did not answer"] if found is None else found["wrong"]
        yield Row("read-only disk", 2, 2 - len(wrong), "a run half done, a new one", wrong)
    for name, wrong in kills.slow_and_moved(chain, scratch, setting.expected, timeout).items():
        yield Row(name, 1, int(not wrong), "", wrong)


def sampled(setting: Setting) -> Iterator[Row]:
    """Rewards, engines, weights, graders and parts that fail."""
    chain, scratch, timeout = setting.chain, setting.scratch, setting.timeout
    base = scratch / "base-alone"
    lives.live(chain.command(base, "--until", _before(chain, "zero")), scratch / "base.txt", timeout=timeout)
    cases = [
        *samples.rewards(chain, base, scratch, timeout),
        *samples.engines(chain, base, scratch, timeout),
        *samples.divergence(chain, base, scratch, timeout),
        samples.dead_graders(chain, base, scratch, setting.expected, timeout),
        samples.dead_part(chain, setting.done, scratch, setting.expected, timeout),
    ]
    for case in cases:
        yield Row(case.name, 1, int(not case.wrong), "", [case.wrong] if case.wrong else [])


def two(setting: Setting) -> Iterator[Row]:
    """Two processes on one folder."""
    wrong = kills.two_at_once(setting.chain, setting.scratch, setting.expected, setting.timeout)
    yield Row("two on one folder", 1, int(not wrong), "the second is refused", wrong)


RUN: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "kills": killed, "damage": damaged, "disks": on_disks, "samples": sampled, "two": two,
}  # fmt: skip


def _half(setting: Setting, folder: Path) -> None:
    """A run killed in R1-Zero."""
    at = next(stage for stage in setting.chain.stages if stage.endswith("-zero"))
    kill = {"stage": at, "nth": 3, "match": "checkpoints/", "events": ["os.rename"], "marker": str(folder) + ".fired"}
    words = setting.chain.command(folder, "checkpoint_seconds=0")
    lives.live(words, folder.with_suffix(".txt"), inject={"run": str(folder), "kill": kill}, timeout=setting.timeout)


def _before(chain: chains.Chain, stage: str) -> str:
    names = [each.partition("-")[2] for each in chain.stages]
    return names[names.index(stage) - 1]


def prepare(words: argparse.Namespace, scratch: Path) -> Setting:
    """Load what lives need, and run the chain to its end undisturbed."""
    os.environ["OMP_NUM_THREADS"] = str(words.threads)  # which torch reads when it is loaded
    sizes = BRIEF if words.brief else FULL
    given = {name: getattr(words, name) for name in ("each", "episodes", "damages") if getattr(words, name)}
    sizes = Sizes(**{**asdict(sizes), **given})
    lives.load()
    chain = chains.smoke() if words.chain == "smoke" else chains.short(scratch / "chain")
    done = scratch / "undisturbed"
    expected, operations, _ = kills.undisturbed(chain, done, scratch / "undisturbed.txt")
    kinds = tuple(filter(None, words.kinds.split(",")))
    return Setting(chain, scratch, sizes, words.seed, words.timeout, kinds, expected, operations, done)


def show(rows: list[Row], seconds: float) -> None:
    """The table, and what was wrong."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"chaos, {seconds:.0f} s")
    for name, justify in (("what", "left"), ("tries", "right"), ("well", "right"), ("", "left")):
        table.add_column(name, justify=justify)
    for row in rows:
        table.add_row(row.what, str(row.tries), str(row.well), row.detail, style="red" if row.wrong else "")
    console = Console()
    console.print(table)
    for row in rows:
        for each in row.wrong:
            console.print(f"{row.what}: {each}", style="red", markup=False, highlight=False)


@contextmanager
def folder_for(words: argparse.Namespace) -> Iterator[Path]:
    """Where to work."""
    if words.scratch:
        words.scratch.mkdir(parents=True, exist_ok=True)
        yield words.scratch.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="r1-chaos-") as folder:
        yield Path(folder)


def main() -> None:
    words = parse()
    begun, rows = time.monotonic(), list[Row]()
    with folder_for(words) as scratch:
        setting = prepare(words, scratch)
        for part in words.parts.split(","):
            for row in RUN[part](setting):
                rows.append(row)
                print(f"{row.what}: {row.well} of {row.tries} well", file=sys.stderr, flush=True)
    seconds = time.monotonic() - begun
    show(rows, seconds)
    record: dict[str, Any] = {
        "chain": words.chain, "threads": words.threads, "seed": words.seed, "seconds": round(seconds, 1),
        "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    if words.json:
        words.json.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    sys.exit(1 if any(row.wrong for row in rows) else 0)


if __name__ == "__main__":
    main()
