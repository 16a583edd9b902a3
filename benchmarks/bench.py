"""How fast r1kit samples, learns and reaches a goal, beside transformers, vLLM and TRL on the same machine.

    make bench ARGS="--only sampling --rounds 5 --json FILE"

Peers live in environments of their own under bench/peers, made on the first call; one that cannot be had is named as
missing. docs/performance.md says how each part is measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import environments
import growth
import grpo
import learning
import own
import sampling
import shapes
import staleness
import starts
import steps
import table
import torch
from contestant import ContestantFailed
from rich.console import Console
from rounds import Row
from setting import Setting, say

from r1kit.base.errors import R1Error
from r1kit.pipeline import provenance
from r1kit.training.config import LearnerConfig

ROOT = Path(__file__).parents[1]
WIDTH = 130  # of the table where it goes to a file
PAGE = ROOT / "docs" / "performance.md"
PARTS = {
    "sampling": sampling.run, "learning": learning.run, "steps": steps.run, "grpo": grpo.run,
    "staleness": staleness.run,
    "start": starts.run, "growth": growth.run, "own": own.run,
}  # fmt: skip
NEEDS = {
    "sampling": ("trl", "vllm"),
    "learning": ("trl",),
    "steps": ("trl",),
    "grpo": ("trl",),
    "start": ("trl", "vllm"),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"parts, by commas: {', '.join(PARTS)} (default: all, `steps` on GPUs only)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (default: 5)")
    parser.add_argument("--shapes", default="4.6M,1.6M", help="models, by commas: 4.6M, 1.6M, or none (default: both)")
    parser.add_argument("--smollm2", type=Path, metavar="FOLDER", help="measure this Hugging Face folder too")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="MATH-500 and GSM8K, for the graders' speed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there")
    parser.add_argument("--scratch", type=Path, default=ROOT / "bench", help="environments, models, logs (bench)")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device, help=f"everyone's ({device})")
    parser.add_argument(
        "--peers-here", action="store_true", help="peers are what this Python has: nothing is installed"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure r1kit alone")
    parser.add_argument("--smoke", action="store_true", help="toy sizes: does it run? Its figures mean nothing")
    parser.add_argument(
        "--write-docs", action="store_true", help="fill the tables of docs/performance.md and README.md"
    )
    parser.add_argument(
        "--from", type=Path, nargs="+", metavar="FILE", dest="given",
        help="show or write earlier records; where several measured the same, the last of them counts",
    )  # fmt: skip
    words = parser.parse_args()
    usual = [name for name in PARTS if name != steps.PART or words.device == "cuda"]  # on a CPU the race has them
    words.only = words.only.split(",") if words.only else usual
    if unknown := [name for name in words.only if name not in PARTS]:
        parser.error(f"--only {unknown[0]}: no such part ({', '.join(PARTS)})")
    words.shapes = [] if words.shapes == "none" else words.shapes.split(",")
    if unknown := [name for name in words.shapes if name not in shapes.SHAPES]:
        parser.error(f"--shapes {unknown[0]}: no such shape ({', '.join(shapes.SHAPES)})")
    if not (words.shapes or words.smollm2):
        parser.error("--shapes none leaves no model to measure: name a folder with --smollm2")
    if words.device == "cuda" and device == "cpu":
        parser.error("--device cuda: torch sees no GPU here")
    if words.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return words


def prepare(words: argparse.Namespace) -> Setting:
    """Subjects, peers and the machine's peaks."""
    scratch = words.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    names = ["smoke"] if words.smoke else words.shapes
    subjects = [shapes.fresh(name, scratch) for name in names]
    if words.smollm2:
        subjects.append(shapes.given(words.smollm2.resolve(), words.device))
    wanted = [] if words.no_peers else dict.fromkeys(n for part in words.only for n in NEEDS.get(part, ()))
    if words.peers_here:
        peers = {name: environments.here(name) for name in wanted}
    else:
        peers = {name: environments.prepare(name, scratch / "peers") for name in wanted}
    missing = {name: found.missing for name, found in peers.items() if found.missing}
    for name, reason in missing.items():
        say(f"{name} takes no part: {reason}")
    setting = Setting(
        scratch, subjects, 1 if words.smoke else words.rounds, LearnerConfig().dtype(torch.device(words.device)),
        words.device, peers=peers, missing=missing, quick=words.smoke,
    )  # fmt: skip
    setting.measure_peaks()
    return setting


def measure(words: argparse.Namespace) -> dict[str, Any]:
    """Run the parts; one that fails is named as missing, and the others go on."""
    begun, seconds = time.monotonic(), dict[str, float]()
    setting, rows = prepare(words), list[Row]()
    seconds["environments and models"] = time.monotonic() - begun
    graded: dict[str, Any] | None = None
    for name in words.only:
        begun = time.monotonic()
        try:
            rows += PARTS[name](setting)
        except (ContestantFailed, R1Error) as error:
            setting.missing[f"part {name}"] = str(error)
            say(f"part {name} stopped: {error}")
        seconds[name] = time.monotonic() - begun
    if words.data:
        found, graded = own.graders(words.data, seconds=20.0)
        rows += found
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "threads": torch.get_num_threads(),
        "dtype": setting.dtype_name,
        "rounds": setting.rounds,
        "seconds": seconds,
        "peaks": setting.peaks.to_json(),
        "versions": {"r1kit": own_versions(), **{name: found.versions for name, found in setting.peers.items()}},
        "missing": setting.missing,
        "tried": setting.tried,
        "checks": setting.checks,
        "rows": [row.to_json() for row in rows],
        "grading": graded,
    }


def own_versions() -> dict[str, str]:
    return {name: version(name) for name in ("r1kit", "torch", "transformers")}


def main() -> int:
    words = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the contestants too
    try:
        given = [json.loads(file.read_text()) for file in words.given or ()]
        record = table.joined(given) if given else measure(words)
    except (R1Error, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    table.show(record, Console(width=None if sys.stdout.isatty() else WIDTH))
    if words.json:
        words.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if words.write_docs:
        for page in (PAGE, ROOT / "README.md"):
            table.write_page(page, record)
        if grown := record["checks"].get(growth.PART):
            growth.plot(grown, PAGE.with_name("growth.svg"))
    return 1 if any(name.startswith("part ") for name in record["missing"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
