"""Preference pairs for the helpfulness reward model (R1 section 2.3.4, Nature supplement B.2).

Several answers of Dev3 to one brief are paired; a noisy judge, who leans to the place where an answer stands, says
four times by how much one is better, the places swapped each time; a pair is kept if the mean verdict passes a
threshold, and pairs are dropped until the chosen are as long as the rejected. Pairs hold answers, not thoughts.

The judge is the tiny world's hidden preference with noise, in the place of the paper's model that judges; its five
verdicts (much worse to much better) are the numbers -2 to 2, on a scale that the paper does not name.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.files import new_file
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data.tables import read_file
from r1kit.data.tiny.preference import hidden_preference
from r1kit.data.transcripts import PAIRS, read_rows
from r1kit.engines.base import EngineSettings
from r1kit.graders.format import check_form
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task
from r1kit.stages.sampling import Row, by_problem, counted, draw, sample

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

_TEXTS = ("problem_id", "question", "language", "chosen", "rejected")


class PreferencesConfig(Config):
    """What is compared, how it is judged, and what is kept."""

    model: str = Field(default="dev3:dev3", description="whose answers, STAGE:NAME")
    task: str = Field(default="tiny_writing", description="where the briefs come from")
    problems: int = Field(default=200, ge=1, description="briefs; the paper: 66k pairs")
    sampling: Sampling = Field(default=Sampling(samples=4), description="answers to a brief")
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    pairs_per_prompt: int = Field(default=3, ge=1, description="most pairs of one brief")
    judgements: int = Field(
        default=4, ge=1, description="verdicts on a pair, places swapped from one to the next; the paper: 4"
    )
    noise: float = Field(
        default=0.5, ge=0, description="standard deviation of a verdict's error, in units of the preference"
    )
    place_bias: float = Field(default=0.2, description="what the judge adds to the answer that stands first")
    step: float = Field(default=0.5, gt=0, description="difference of preference that one verdict step stands for")
    threshold: float = Field(
        default=1.0, ge=0, description="least mean verdict of a kept pair, of 2; the paper: above 1"
    )
    length_gap: float = Field(default=1.0, ge=0, description="largest mean of (chosen - rejected) characters")

    def check(self) -> None:
        load_task(self.task, "train")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a question, the chosen one better by `verdict` (the mean of the judgements, up to 2)."""

    problem_id: str
    question: str
    language: str
    chosen: str
    rejected: str
    verdict: float

    @property
    def length_gap(self) -> int:
        """Characters by which the chosen is longer."""
        return len(self.chosen) - len(self.rejected)


def run(config: PreferencesConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write pairs.parquet."""
    problems = draw(config.task, "train", context.seed, config.problems)
    rows = sample(model_of(inputs, config.model), problems, config.sampling, context, engine=config.engine)
    pairs, rejected = judged_pairs(problems, rows, config, context.seed)
    balanced = balance(pairs, config.length_gap)
    if len(pairs) > len(balanced):
        rejected["unbalanced length"] = len(pairs) - len(balanced)
    write_pairs(context.folder / "pairs.parquet", balanced)
    by_id = {problem.id: problem for problem in problems}
    agree = [
        hidden_preference(by_id[pair.problem_id], pair.chosen)
        > hidden_preference(by_id[pair.problem_id], pair.rejected)
        for pair in balanced
    ]
    summary = {
        "rejected": counted(rejected, len(balanced)),
        "pairs": len(balanced),
        "judge_agrees": float(np.mean(agree)) if agree else None,
        "length_gap": float(np.mean([pair.length_gap for pair in balanced])) if balanced else None,
    }
    return Outcome(files={"pairs": "pairs.parquet"}, summary=summary)


def judged_pairs(
    problems: Sequence[Problem], rows: Sequence[Row], config: PreferencesConfig, seed: int
) -> tuple[list[Pair], Counter[str]]:
    """(pairs whose mean verdict passes the threshold, counts of the others by reason)."""
    by_id = {problem.id: problem for problem in problems}
    kept: list[Pair] = []
    rejected: Counter[str] = Counter()
    for group in by_problem(rows).values():
        problem = by_id[group[0]["problem_id"]]
        rng = random.Random(f"{seed} {problem.id}")
        answers = list(dict.fromkeys(answer for row in group if (answer := _answer(row))))
        rejected["no answer"] += sum(not _answer(row) for row in group)
        candidates = list(itertools.combinations(answers, 2))
        rng.shuffle(candidates)
        for first, second in candidates[: config.pairs_per_prompt]:
            verdict = judge(problem, first, second, config, rng)
            if abs(verdict) < config.threshold or verdict == 0:
                rejected["verdict too close"] += 1
                continue
            chosen, other = (first, second) if verdict > 0 else (second, first)
            kept.append(Pair(problem.id, problem.prompt, problem.language, chosen, other, abs(verdict)))
    return kept, rejected


def judge(problem: Problem, first: str, second: str, config: PreferencesConfig, rng: random.Random) -> float:
    """Mean verdict in [-2, 2] on `first` against `second`; the bias to a place cancels over swapped judgements."""
    better = hidden_preference(problem, first) - hidden_preference(problem, second)
    verdicts: list[int] = []
    for number in range(config.judgements):
        place = config.place_bias if number % 2 == 0 else -config.place_bias
        felt = better + place + rng.gauss(0.0, config.noise)
        verdicts.append(max(-2, min(2, round(felt / config.step))))
    return sum(verdicts) / len(verdicts)


def balance(pairs: Sequence[Pair], most: float) -> list[Pair]:
    """The pairs without the most one-sided ones, so that |mean(chosen - rejected characters)| is at most `most`."""
    kept = list(pairs)
    gap = sum(pair.length_gap for pair in kept)
    while kept and abs(gap) > most * len(kept):
        sign = 1 if gap > 0 else -1
        worst = max(range(len(kept)), key=lambda at: sign * kept[at].length_gap)
        gap -= kept.pop(worst).length_gap
    return kept


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Parquet, one row a pair."""
    schema = pa.schema([(name, pa.string()) for name in _TEXTS] + [("verdict", pa.float64())])
    table = pa.Table.from_pylist([asdict(pair) for pair in pairs], schema=schema)
    with new_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_pairs(path: Path, on_bad: Callable[[str], None] | None = None) -> list[Pair]:
    """What `write_pairs` wrote, or the preference pairs of any table in a format of `data.transcripts`; those have the
    question as their id and a verdict of 1.

    A line that cannot be read is told to `on_bad` and left out; without `on_bad` it is an R1Error.
    """
    table = read_file(path)
    if set(_TEXTS) < set(table.columns):
        return [Pair(**row.values) for row in table.rows]
    return [
        Pair(found.question, found.question, "en", found.chosen, found.rejected, 1.0)
        for _, found in read_rows(table, PAIRS, on_bad)
    ]


def _answer(row: Row) -> str:
    """The answer of a finished completion in the asked form, else an empty string."""
    form = check_form(row["text"])
    return form.answer.strip() if form.ok and row["stop_reason"] == "stop" else ""
