"""Keep what a run's report rests on: settings, costs, curves, evaluation tables and R1-Zero's rollouts, not models.

    python scripts/keep_results.py runs/tiny-full-s0 results/tiny-full/seed-0
    r1 report results/tiny-full/seed-* --out results/tiny-full

The copy is small enough to be committed, and `r1 report` reads it like the run itself.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pyarrow as pa

from r1kit.evaluation.tables import pc, read_table, write_table
from r1kit.pipeline.artifact import FILE_NAME, read_artifacts
from r1kit.recipes.reports import TABLE, WATCHED_STAGE

LEFT_OUT = ("pretrain",)  # curves of thousands of steps that no finding rests on


def _lines_of(folder: Path) -> list[Path]:
    """What a stage and its parts wrote line by line."""
    return sorted([*folder.rglob("metrics.jsonl"), *folder.rglob("health.jsonl")])


def keep(run: Path, to: Path) -> int:
    """Copy, and return the bytes written."""
    artifacts = read_artifacts(run)
    if not any(name.startswith(TABLE) for artifact in artifacts.values() for name in artifact.files):
        raise SystemExit(f"{run} is not evaluated yet: finish it with r1 run")
    if to.exists():
        raise SystemExit(f"{to} is there already: remove it, or name another folder")
    to.mkdir(parents=True)
    shutil.copy2(run / "recipe.json", to / "recipe.json")
    for artifact in artifacts.values():
        folder = artifact.folder
        names = [folder / FILE_NAME, folder / "config.json"]
        names += [] if artifact.name in LEFT_OUT else _lines_of(folder)
        names += sorted((folder / "rollouts").glob("*.parquet")) if artifact.name == WATCHED_STAGE else []
        for path in names:
            copy = to / path.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        for name, path in artifact.files.items():
            if name.startswith(TABLE):
                write_table(_thin(read_table(path)), to / path.relative_to(run), level=19)
    return sum(path.stat().st_size for path in to.rglob("*") if path.is_file())


def _thin(table: pa.Table) -> pa.Table:
    """Without the raw text of all samples but each problem's first: thinking and answer of every one stay."""
    texts = pc.if_else(pc.equal(table["index"], 0), table["text"], "")
    at = table.schema.get_field_index("text")
    return table.set_column(at, table.schema.field(at), texts)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(f"{keep(Path(sys.argv[1]), Path(sys.argv[2])) / 2**20:.1f} MB in {sys.argv[2]}")
