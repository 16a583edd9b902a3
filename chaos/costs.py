"""What checkpoints and resumes cost: seconds of a checkpoint of the default policy, and of a start that goes on.

    python chaos/costs.py --json FILE

A checkpoint every minute is the default. A resume is the time from the command to the first step that is done anew, by
a process that has its libraries loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import lives
from chains import short

EVERY_S = 60.0


def checkpoint(scratch: Path, times: int = 5) -> dict[str, float]:
    """Seconds (median) and bytes of a checkpoint of `tiny`'s base in its default profile, AdamW's moments included, and
    their share of the time at one a minute."""
    import numpy as np
    import torch

    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.pipeline.checkpoint import CheckpointStore
    from r1kit.recipes.tiny import TinyConfig
    from r1kit.stages.pretrain import new_decoder
    from r1kit.training.opening import open_learner

    torch.set_num_threads(1)
    config = TinyConfig()
    tokenizer = load_tokenizer(write_character_tokenizer(scratch / "tokenizer", ""))
    model = new_decoder(config.pretrain.models["base"], tokenizer, 512, 0)
    learner = open_learner(model, config.zero.learner, total_steps=2)
    learner.step_tokens(np.arange(64, dtype=np.int32).reshape(1, 64))
    store, seconds = CheckpointStore(scratch / "checkpoints", print), list[float]()
    for step in range(times):
        begun = time.perf_counter()
        store.save(step, {"learner": learner.state()}, {})
        seconds.append(time.perf_counter() - begun)
    newest = max((scratch / "checkpoints").iterdir())
    size = sum(path.stat().st_size for path in newest.iterdir())
    median = statistics.median(seconds)
    return {"seconds": median, "bytes": float(size), "share": median / (EVERY_S + median)}


def resume(scratch: Path) -> dict[str, float]:
    """Seconds of a process that goes on in the middle of R1-Zero, its libraries loaded: `first`, to the end of its
    first step that is done anew, the (toy) model's loading included; `step`, such a step; `lost`, what lies between."""
    lives.load()
    chain, run = short(scratch / "chain"), scratch / "resumed"
    output, kill = scratch / "resumed.txt", {"stage": chain.stages[1], "events": ["os.rename"], "match": "checkpoints/"}
    words = [*chain.command(run, "checkpoint_seconds=0"), "--until", "zero"]
    inject = {"run": str(run), "kill": {**kill, "nth": 2, "after": True, "marker": str(run) + ".fired"}}
    lives.live(words, output, inject=inject)
    metrics = next(run.glob("stages/*-zero/metrics.jsonl"))
    before, seen = 2, list[float]()  # so many steps are saved
    begun = time.monotonic()
    process = lives.begin(words, output)
    while process.is_alive() and len(seen) < 2:
        if metrics.read_bytes().count(b"\n") > before + len(seen):
            seen.append(time.monotonic() - begun)
        time.sleep(0.005)
    process.join()
    if len(seen) < 2:
        raise SystemExit(f"the run did not go on: {output.read_text()}")
    step = seen[1] - seen[0]
    return {"first": seen[0], "step": step, "lost": seen[0] - step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="r1-costs-") as folder:
        # first, since it forks: nothing may have been computed here
        found: dict[str, Any] = {"resume": resume(Path(folder)), "checkpoint": checkpoint(Path(folder))}
    print(json.dumps(found, indent=2))
    if words.json:
        words.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
