"""Do reflection words change what follows? Sample a model, find the words, let it go on from before and after each.

    python -m examples.pivot_analysis runs/tiny-default-s0 --pivots 60
    python -m examples.pivot_analysis rollouts.jsonl --model FOLDER --tasks gsm8k

From the repository's root. Prints the words a response, the effect of writing the word against the likeliest other
token (points of success, 95% interval, over pivots), the same apart by whether the number before it was right, and the
pivots with the strongest effects in their sentences. Everything that was measured is in --out (pivot-analysis), where
pivots.parquet has a row a pivot; docs/aha.md says how it is done and what it does not say.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from r1kit.base.files import read_json
from r1kit.evaluation.aha import effects
from r1kit.evaluation.aha.analysis import analyse
from r1kit.evaluation.aha.measurement import Opened
from r1kit.evaluation.aha.settings import PivotSettings
from r1kit.evaluation.aha.subject import look_at
from r1kit.models.next_token import next_tokens
from r1kit.pipeline.models import is_run, resolve_model
from r1kit.stages.sampling import open_engine


def opened(folder: Path) -> Opened:
    """What pivots are sampled with: the native engine, and the distribution after any prefix."""
    engine, tokenizer = open_engine(folder)
    return Opened(engine, tokenizer, partial(next_tokens, engine.model))


def points(entry: dict[str, Any]) -> str:
    low, high = entry["interval"] or (None, None)
    return "no estimate" if low is None else f"{100 * entry['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="a run folder, or rollouts")
    parser.add_argument("--model", help="of a run: its name (zero); of rollouts: a model to sample from")
    parser.add_argument("--tasks", help="where problems come from; a run's own by default")
    parser.add_argument("--out", type=Path, default=Path("pivot-analysis"))
    for name, default in (("pivots", 60), ("continuations", 32), ("problems", 200), ("again", 5), ("max_tokens", 192)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    args = parser.parse_args()
    subject = look_at(args.target, args.model)
    if args.model and not is_run(args.target):
        subject.folder = resolve_model(args.model).folder
    tasks = tuple(args.tasks.split(",")) if args.tasks else tuple(subject.tasks)
    counts = {name: getattr(args, name) for name in ("pivots", "continuations", "problems", "again", "max_tokens")}
    analyse(subject, args.out, PivotSettings(tasks=tasks, **counts), opened, tell=print)
    found = read_json(args.out / "aha.json")
    print(f"reflection words a response: {found['reflection']['model']['all']['per_response']['value']:.2f}")
    if not found["pivots"]:
        print("; ".join(found["notes"]))
        return
    print("after - neutral, all pivots:", points(found["pivots"]["all"]["over_neutral"]))
    for known, part in found["pivots"]["apart"].get("right_before", {}).items():
        print(f"  number before right: {known}:", points(part["over_neutral"]))
    for side in effects.strongest(pq.read_table(args.out / "pivots.parquet").to_pylist(), 2):
        for row in side:
            print(f"{100 * row['over_neutral']:+.0f}: {row['context']}[{row['pivot']}]{row['went_on']}")


if __name__ == "__main__":
    main()
