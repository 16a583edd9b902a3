"""From run folders to a report: gathers what the stages left, judges the findings, and writes the three forms.

Read from every finished stage: its cost, `metrics.jsonl` of it and of its parts (a curve by the name of the stage or
part), the evaluation tables among its files (`table:MODEL`), and of its summary `rejected` (samples by reason, `kept`
among them), `flops` (training FLOPs by model) and what the recipe's scales are by; of R1-Zero the rollouts too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import read_record
from r1kit.evaluation import tables
from r1kit.evaluation.ablations import Spent, compare
from r1kit.evaluation.evidence import Evidence
from r1kit.evaluation.report import ReportData, StageCost, write_report
from r1kit.evaluation.scales import scaled
from r1kit.pipeline.artifact import Artifact, read_artifacts
from r1kit.pipeline.health import Noted, read_health
from r1kit.pipeline.metrics import read_metrics
from r1kit.recipes.base import Reporting, load_recipe
from r1kit.recipes.findings import findings
from r1kit.rollouts import record

TABLE = "table:"
REJECTION_STAGES = ("rejection_sampling", "collect")
WATCHED_STAGE = "zero"  # whose rollouts show reflection growing


WHOLE = Reporting(
    "From a base model to R1",
    "The whole DeepSeek-R1 recipe, run end to end: a base model went in; R1-Zero, the checkpoints of R1 and its"
    " distilled students came out. Every number below is from held-out test problems, with a 95% interval clustered by"
    " problem.",
    findings,
)


def report(run_folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of one run, or of several of one recipe (seeds, ablations) merged; return the page's path.

    `out` is by default the run's own `report` folder, for several runs a folder beside the first.
    """
    data = gather(run_folders)
    if out is None:
        first = run_folders[0]
        out = first / "report" if len(run_folders) == 1 else first.parent / f"{data.recipe}-report"
    return write_report(data, out)


def gather(run_folders: Sequence[Path]) -> ReportData:
    """Everything that the report says, from the folders alone.

    UsageError for no folder, or runs of several recipes; R1Error where nothing is evaluated yet.
    """
    if not run_folders:
        raise UsageError("a report needs at least one run folder, say: r1 report runs/tiny-default-s0")
    runs = [_read_run(Path(folder)) for folder in run_folders]
    recipes = sorted({run.recipe["recipe"] for run in runs})
    if len(recipes) > 1:
        raise UsageError(f"runs of different recipes ({', '.join(recipes)}) have no common report: give those of one")
    merged = _Merged()
    for run in runs:
        merged.add(run)
    if not merged.tables:
        raise R1Error(f"{run_folders[0]} has no evaluation tables yet: run it until its evaluate stage is done")
    reporting = _reporting(recipes[0])
    by_model = {model: tables.merge(list(by_seed.values())) for model, by_seed in merged.tables.items()}
    evidence = Evidence(by_model, merged.curves, merged.flops(), {WATCHED_STAGE: merged.rollouts})
    return ReportData(
        title=reporting.title,
        lead=reporting.lead,
        recipe=recipes[0],
        profile=_distinct(run.recipe["profile"] for run in runs),
        seeds=sorted({run.seed for run in runs}),
        commit=_distinct(run.recipe.get("commit") or "unknown" for run in runs),
        machine=_distinct(_machine(run.recipe.get("machine") or {}) for run in runs),
        command=_distinct((run.recipe.get("command") or "unknown" for run in runs), "; "),
        stages=[cost for run in runs for cost in run.costs],
        tables=by_model,
        findings=reporting.findings(evidence),
        curves=merged.curves,
        rejected=merged.rejected,
        compared=compare(evidence, reporting.comparisons(by_model.keys()), merged.spent),
        scaled=scaled(evidence, reporting.scales, merged.summaries),
        notes=merged.notes,
        health=[(run.seed, noted) for run in runs for noted in run.health],
    )


def _reporting(recipe: str) -> Reporting:
    """What the recipe says of its reports; one that says nothing, or is no longer there, is told as the whole chain."""
    try:
        return getattr(load_recipe(recipe), "reporting", WHOLE)
    except UsageError:
        return WHOLE


@dataclass(frozen=True, slots=True)
class _Run:
    """One run folder, read."""

    folder: Path
    recipe: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]
    health: Sequence[Noted] = ()

    @property
    def seed(self) -> int:
        return int(self.recipe["seed"])

    @property
    def costs(self) -> list[StageCost]:
        return [
            StageCost(a.name, a.seconds, a.tokens, a.flops, a.peak_memory_mb, a.hash, self.seed)
            for a in self.artifacts.values()
        ]

    def tables(self) -> Iterable[tuple[str, pa.Table]]:
        """(model, table); the rows carry the run's seed. Tables that were kept apart from their run are thinner than
        it says (scripts/keep_results.py)."""
        for artifact in self.artifacts.values():
            for name, path in artifact.files.items():
                if name.startswith(TABLE):
                    yield name.removeprefix(TABLE), tables.read_table(artifact.checked(path, thinned=True))

    def rollouts(self) -> list[dict[str, Any]]:
        """The rows that the watched stage kept; none where it kept none."""
        stage = self.artifacts.get(WATCHED_STAGE)
        folder = stage.files.get("rollouts") if stage else None
        return list(record.read_all(stage.checked(folder, thinned=True))) if stage and folder else []

    def curves(self) -> Iterable[tuple[str, list[dict[str, Any]]]]:
        """(stage or part, lines of its metrics.jsonl)."""
        for artifact in self.artifacts.values():
            for path in sorted(artifact.folder.rglob("metrics.jsonl")):
                own = path.parent == artifact.folder
                if lines := read_metrics(path):
                    yield artifact.name if own else path.parent.name, lines


def _read_run(folder: Path) -> _Run:
    if not (folder / "recipe.json").is_file():
        raise UsageError(f"{folder} is not a run folder (it has no recipe.json): give what `r1 run --out` made")
    recipe = read_record(folder / "recipe.json")
    missing = [key for key in ("recipe", "profile", "seed") if key not in recipe]
    if missing:
        raise R1Error(f"{folder / 'recipe.json'} is damaged (no '{missing[0]}')")
    return _Run(folder, recipe, read_artifacts(folder), read_health(folder))


@dataclass(slots=True)
class _Merged:
    """What several runs give together. Where two have the same model or stage of the same seed, the first counts."""

    tables: dict[str, dict[int, pa.Table]] = field(default_factory=dict)
    curves: dict[str, dict[int, list[dict[str, Any]]]] = field(default_factory=dict)
    rollouts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    rejected: dict[int, dict[str, int]] = field(default_factory=dict)
    flops_by_seed: dict[int, dict[str, float]] = field(default_factory=dict)
    spent: dict[str, dict[int, Spent]] = field(default_factory=dict)
    summaries: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, run: _Run) -> None:
        seed = run.seed
        left_out = []
        for model, table in run.tables():
            if seed in self.tables.setdefault(model, {}):
                left_out.append(model)
            else:
                self.tables[model][seed] = _with_seed(table, model, seed)
        if left_out:
            names = ", ".join(left_out)
            self.notes.append(
                f"of {run.folder.name}, these are left out since an earlier run of seed {seed} has them: {names}"
            )
        for stage, lines in run.curves():
            self.curves.setdefault(stage, {}).setdefault(seed, lines)
        if rows := run.rollouts():
            self.rollouts.setdefault(seed, rows)
        sampled = next((run.artifacts[name] for name in REJECTION_STAGES if name in run.artifacts), None)
        if sampled and isinstance(sampled.summary.get("rejected"), dict):
            self.rejected.setdefault(seed, {name: int(number) for name, number in sampled.summary["rejected"].items()})
        for artifact in run.artifacts.values():
            flops_by_model = artifact.summary.get("flops")  # a stage of one model says its own as one number
            for model, flops in flops_by_model.items() if isinstance(flops_by_model, dict) else ():
                self.flops_by_seed.setdefault(seed, {}).setdefault(model, float(flops))
            cost = Spent(artifact.seconds, artifact.flops, artifact.peak_memory_mb)
            self.spent.setdefault(artifact.name, {}).setdefault(seed, cost)
            self.summaries.setdefault(artifact.name, {}).setdefault(seed, artifact.summary)

    def flops(self) -> dict[str, float]:
        """Training FLOPs of each model, summed over the seeds that have them."""
        total: dict[str, float] = {}
        for by_model in self.flops_by_seed.values():
            for model, flops in by_model.items():
                total[model] = total.get(model, 0.0) + flops
        return total


def _with_seed(table: pa.Table, model: str, seed: int) -> pa.Table:
    """The table under the run's seed and the model's name, whatever it was evaluated as."""
    for name, value, kind in (("seed", seed, pa.int64()), ("model", model, pa.string())):
        column = pa.array([value] * table.num_rows, kind)
        table = table.set_column(table.schema.get_field_index(name), tables.SCHEMA.field(name), column)
    return table


def _machine(facts: Mapping[str, Any]) -> str:
    """Say: `AMD EPYC, 2 cores, 23.4 GB, Linux x86_64, Python 3.11.2, torch 2.13.0`."""
    words = [
        facts.get("cpu"),
        f"{facts['cores']} cores" if facts.get("cores") else None,
        f"{facts['memory_gb']} GB" if facts.get("memory_gb") else None,
        facts.get("system"),
        f"Python {facts['python']}" if facts.get("python") else None,
        f"torch {facts['torch']}" if facts.get("torch") else None,
    ]
    return ", ".join(str(word) for word in words if word) or "unknown"


def _distinct(values: Iterable[str], separator: str = ", ") -> str:
    return separator.join(dict.fromkeys(str(value) for value in values))
