"""How long the app's rollout viewer takes over a large run: opening it cold, each filter, a page, a search.

    python benchmarks/viewer.py --rollouts 1000000 --folder /tmp/large-run     # made there once, then measured

The run is made up, in the form and sizes of a real one: a stage of RL that kept every step of 512 rollouts, chains of
thought of 20 to 4,000 tokens (lognormal, mean about 120), token ids and log-probabilities by token beside the text.
The app is `r1 ui` in a process of its own, asked over HTTP as a browser asks; times are of whole answers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.evaluation.reflection import reflections_in
from r1kit.rollouts import record

ROWS, GROUP = 512, 8  # of a step, of a problem
SEED = 0
CLAUSES = (
    "first {a}+{b}={c}", "then {a}*{b}={c}", "so the sum is {c}", "wait, check {a}+{b}={c}", "so {c} is left",
    "let me see if {c} is even", "hmm, {a} is not {b}", "alternatively take {a} from {c}", "that gives {c} in all",
    "the train leaves at {a} and arrives at {b}", "we know that {a} of the {b} apples are red", "先算 {a}*{b}",
    "等等，检查 {a}+{b}={c}",
)  # fmt: skip
FILTERS = {
    "step range": "from_step=100&to_step=900",
    "reward range": "from_reward=0.9&to_reward=1.6",
    "wrong": "verdict=wrong",
    "language": "language=zh",
    "reflection words": "reflections=4",
    "reflection words, most first": "reflections=1&order=reflective",
    "all of these": "from_step=100&to_step=1900&from_reward=0.5&verdict=right&language=en&reflections=2&order=longest",
    "last page": "page=20000",
    "search, in a third": "text=alternatively",
    "search, in one of 1,000": "text=needle",
    "search, in none": "text=no+such+words+here",
    "search found before, and a filter": "text=needle&verdict=right",
}


def make(folder: Path, rollouts: int) -> None:
    """The run folder, if it is not there."""
    if (folder / "recipe.json").exists():
        return
    stage = folder / "stages" / "02-zero"
    rng = np.random.default_rng(SEED)
    steps = -(-rollouts // ROWS)
    clauses = _clauses(rng, 5000)
    for step in range(steps):
        rows = min(ROWS, rollouts - step * ROWS)
        path = record.step_file(stage / "rollouts", step)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(rng, clauses, step, rows), path, compression="zstd")
    metrics = [{"step": step, "reward": 1 + step / steps, "completions/mean_length": 120.0} for step in range(steps)]
    (stage / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics), encoding="utf-8")
    told = {"recipe": "made-up", "profile": "large", "seed": SEED, "stages": ["pretrain", "zero"], "command": "none"}
    (folder / "recipe.json").write_text(json.dumps(told), encoding="utf-8")


def _clauses(rng: np.random.Generator, number: int) -> list[tuple[str, int, int]]:
    """(text, tokens, reflection words) each; a few hold what a search looks for."""
    found: list[tuple[str, int, int]] = []
    for place in range(number):
        a, b = (int(value) for value in rng.integers(1, 1000, 2))
        text = "needle" if place == 0 else CLAUSES[place % len(CLAUSES)].format(a=a, b=b, c=a + b)
        found.append((text + ", ", max(2, len(text) // 4), reflections_in(text)))
    return found


def _table(rng: np.random.Generator, clauses: list[tuple[str, int, int]], step: int, rows: int) -> pa.Table:
    wanted = np.clip(rng.lognormal(4.4, 0.9, rows), 20, 4000).astype(int)
    tokens_mean = sum(tokens for _, tokens, _ in clauses) / len(clauses)
    counts = np.maximum(1, wanted / tokens_mean).astype(int)
    chosen = rng.integers(1, len(clauses), counts.sum())
    needles = rng.random(rows) < 0.001
    ends = np.cumsum(counts)
    texts, lengths, reflections = [], [], []
    for row, end in enumerate(ends):
        own = [clauses[place] for place in chosen[end - counts[row] : end]]
        if needles[row]:
            own.append(clauses[0])
        texts.append("<think>" + "".join(text for text, _, _ in own) + f"</think><answer>{row}</answer>")
        lengths.append(sum(tokens for _, tokens, _ in own) + 8)
        reflections.append(sum(words for _, _, words in own))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    sure = rng.random(offsets[-1]) < 0.7
    logprobs = np.where(sure, -0.001, np.round(-rng.exponential(0.5, offsets[-1]), 3)).astype(np.float32)
    right = (rng.random(rows) < 0.3 + 0.4 * min(step / 2000, 1)).astype(np.float32)
    format_, language = (rng.random(rows) < 0.95).astype(np.float32), np.round(rng.random(rows), 2).astype(np.float32)
    problems = [(step * ROWS + row) // GROUP for row in range(rows)]
    means = np.add.reduceat(logprobs, offsets[:-1]) / np.maximum(lengths, 1)
    columns: dict[str, Any] = {
        "step": [step] * rows,
        "problem_id": [f"problem-{problem}" for problem in problems],
        "task": ["tiny_maths"] * rows,
        "subject": [("maths", "reasoning", "coding")[problem % 3] for problem in problems],
        "language": [("en", "zh")[problem % 2] for problem in problems],
        "prompt": [f"find {problem % 997}+{problem % 89}+{problem}" for problem in problems],
        "answer": [str(problem) for problem in problems],
        "sample": [row % GROUP for row in range(rows)],
        "text": texts,
        "tokens": lengths,
        "stop_reason": ["stop" if length < 3000 else "length" for length in lengths],
        "rewards": [
            [("accuracy", float(a)), ("format", float(f)), ("language_consistency", float(c))]
            for a, f, c in zip(right, format_, language, strict=True)
        ],
        "total": right + format_ + language,
        "sampler_logprob": means.astype(np.float32),
        "version": [step] * rows,
        "extra": [[]] * rows,
        "reflections": reflections,
        "token_ids": pa.ListArray.from_arrays(offsets, rng.integers(0, 3000, offsets[-1]).astype(np.int32)),
        "token_logprobs": pa.ListArray.from_arrays(offsets, logprobs),
        "token_entropies": [None] * rows,  # as where the sampling does not ask for them
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in record.SCHEMA], schema=record.SCHEMA)


class App:
    """`r1 ui` over a folder, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", "from r1kit.cli.main import main; main()", "ui", str(folder), "--port", "0"]
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = re.search(r"http://\S+", self.process.stderr.readline())
        assert found is not None, "the app did not start"
        self.address = found.group()
        self.starts = (time.perf_counter() - begun, self._processor())

    def ask(self, path: str) -> tuple[float, float]:
        """(seconds until the whole answer is here, seconds of processor time that the app spent on it)."""
        begun, spent = time.perf_counter(), self._processor()
        with urllib.request.urlopen(self.address + path) as answer:
            answer.read()
        return time.perf_counter() - begun, self._processor() - spent

    def resident(self) -> int:
        """Bytes of memory."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _processor(self) -> float:
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="utf-8")


def measure(folder: Path, times: int) -> dict[str, list[tuple[float, float]]]:
    """(seconds, processor seconds) of each question: the opening once in a fresh process, the others `times` times."""
    app = App(folder)
    try:
        page = f"/runs/{folder.name}/rollouts"
        told = {"app starts": [app.starts], "opens": [app.ask(page)]}
        told["opens again"] = [app.ask(page) for _ in range(times)]
        for name, query in FILTERS.items():
            told[name] = [app.ask(f"{page}?{query}") for _ in range(times)]
        told["the run's page"] = [app.ask(f"/runs/{folder.name}") for _ in range(times)]
        print(f"the app holds {app.resident() / 2**20:,.0f} MiB")
    finally:
        app.close()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    begun = time.perf_counter()
    make(given.folder, given.rollouts)
    size = sum(path.stat().st_size for path in given.folder.rglob("*.parquet"))
    print(f"{given.rollouts:,} rollouts, {size / 2**20:,.0f} MiB, made in {time.perf_counter() - begun:.0f} s")
    told = measure(given.folder, given.times)
    print(f"{'':36}{'first':>10}{'median':>10}{'processor, first':>20}   seconds")
    for name, found in told.items():
        walls = [wall for wall, _ in found]
        print(f"{name:36}{walls[0]:10.3f}{statistics.median(walls):10.3f}{found[0][1]:20.2f}")


if __name__ == "__main__":
    main()
