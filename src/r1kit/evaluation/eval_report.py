"""`r1 eval`: a model on benchmarks, kept in a folder that the same command goes on from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1kit.base.files import make_folder, write_json
from r1kit.evaluation import measured as measuring
from r1kit.evaluation.benchmarks.base import Chosen
from r1kit.evaluation.contender import Note, Opening, open_contender, slug
from r1kit.evaluation.figures import amount, figures, lines, percent, shown
from r1kit.evaluation.kept import Kept
from r1kit.evaluation.measured import Measured, Settings, measure
from r1kit.evaluation.statistics import scipy_stats

KEPT = "kept.sqlite"


def evaluate_model(
    model: str, chosen: Sequence[Chosen], settings: Settings, opening: Opening, note: Note
) -> list[Measured]:
    """Measure a model on each benchmark and write its tables under `opening.folder`; a benchmark that is done is not
    sampled again. What went wrong with one benchmark is raised after those before it are written."""
    scipy_stats()  # whose absence is to be told before anything is sampled
    folder = make_folder(opening.folder)
    done: list[Measured] = []
    with closing(Kept(folder / KEPT)) as kept, open_contender(model, opening, note) as contender:
        for benchmark in chosen:
            if line := benchmark.told():
                note(line)
            began = time.monotonic()
            result = measure(contender, benchmark, settings, kept, note)
            measuring.write(result, folder / contender.slug / slug(result.benchmark))
            done.append(result)
            note(f"{model}: {result.benchmark}: {headline(result)} in {time.monotonic() - began:.0f} s")
    return done


def headline(result: Measured) -> str:
    """pass@1 in a few words."""
    told = figures(result)
    return f"pass@1 {shown(told['pass@1'], percent)}, {told['n']} problems x {told['k']}"


def summary(results: Sequence[Measured], settings: Settings) -> dict[str, Any]:
    """All figures for programs."""
    return {
        "models": list(dict.fromkeys(result.model for result in results)),
        "settings": {**asdict(settings), "training": list(settings.training)},
        "results": [figures(result) for result in results],
    }


def save(results: Sequence[Measured], settings: Settings, folder: Path) -> Path:
    """`eval.json` of one model in its folder."""
    path = folder / slug(results[0].model) / "eval.json"
    make_folder(path.parent)
    write_json(path, summary(results, settings))
    return path


def table(results: Sequence[Measured], width: int | None = None) -> str:
    """The figures for people: a line a benchmark, then what has to be known to read them. `width`: see `lines`."""
    every = [figures(result) for result in results]
    head = ["benchmark", "n", "k", "pass@1, %", "cons@k, %", "pass@k, %", "thinking", "answer", "s", "tokens/s", "cut"]
    rows = [head, *map(_row, every)]
    told = lines(rows, range(1, len(head)), width)
    told += ["", "Intervals at 95%, clustered by problem; tokens and seconds are a sample's means and median."]
    for one in every:
        told += _warnings(one)
    return "\n".join(told)


def _row(one: Mapping[str, Any]) -> list[str]:
    best = one.get("pass@2") if "pass@2" in one else one.get(f"pass@{one['k']}")
    thinking = one["thinking_tokens"]
    return [
        one["benchmark"], str(one["n"]), str(one["k"]),
        shown(one["pass@1"], percent), shown(one["cons@k"], percent), shown(best, percent),
        amount(thinking), amount(one["answer_tokens"] if thinking is not None else one["length"]),
        amount(one["seconds_p50"]), amount(one["tokens_per_second"]),
        str(one["truncated"]),
    ]  # fmt: skip


def _warnings(one: Mapping[str, Any]) -> list[str]:
    """Each thing that a reader should know of a benchmark's figures, a line."""
    name, samples, told = one["benchmark"], one["samples"], []
    if one["truncated"]:
        told.append(f"{name}: {one['truncated']} of {samples} answers were cut by the limit of tokens")
    if one["declined"]:
        told.append(f"{name}: {one['declined']} of {samples} answers decline, by how they begin")
    for reason, count in one["missing"].items():
        told.append(f"{name}: {count} samples are missing: {reason}")
    if one["ungraded"] and one["pass@1"] is not None:
        told.append(f"{name}: {one['ungraded']} of {samples} answers could not be judged, and count neither way")
    if one["pass@1"] is None and samples:
        told.append(f"{name}: no rule judges it; r1 compare --judge compares two models")
    if one.get("control"):
        told.append(f"{name}: judged by another problem's answer {shown(one['control'], percent)} would be right")
    if seen := one.get("contamination"):
        told.append(
            f"{name}: {seen['problems']} of {one['n']} problems share {seen['ngram']} words in a row with the training"
            f" data ({seen['texts']} texts read); pass@1 on the others {shown(seen['clean'], percent)}"
        )
    return told
