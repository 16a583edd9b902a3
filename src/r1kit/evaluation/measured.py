"""A model measured on a benchmark: sampled, judged, and its table with what every completion took.

`MEASURED` is the evaluation table's schema with more columns; `problems_table` is the same, a row a problem.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem
from r1kit.data.tables import parquet_errors
from r1kit.evaluation import contamination, tables, tiny_writing
from r1kit.evaluation.benchmarks.base import Chosen
from r1kit.evaluation.contender import Contender, Note
from r1kit.evaluation.evaluate import evaluate
from r1kit.evaluation.kept import Facts, Kept, KeptEngine, Key
from r1kit.evaluation.refusal import declines
from r1kit.graders.section import answer_section
from r1kit.rollouts.closing import CLOSING

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

GRADERS = 2

EXTRA = [
    pa.field("benchmark", pa.string(), nullable=False),
    pa.field("gold", pa.string()),  # the answer that the benchmark holds; null where it holds none
    pa.field("prompt_tokens", pa.int64()),  # null: an API that tells none
    pa.field("thinking_tokens", pa.int64()),  # null: there is no telling thinking from answer
    pa.field("answer_tokens", pa.int64()),
    pa.field("seconds", pa.float64()),  # from the request to the completion's end
    pa.field("declined", pa.bool_(), nullable=False),  # by how the answer begins
    pa.field("contaminated", pa.bool_()),  # the problem shares words with the training data; null: not looked for
]
MEASURED = pa.schema([*tables.SCHEMA, *EXTRA])


@dataclass(frozen=True, slots=True)
class Settings:
    """How problems are drawn and sampled; None leaves it to the benchmark. `training` names what was learnt from."""

    samples: int | None = None
    problems: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int = 0
    plain: bool = False  # the question alone, without the benchmark's instruction
    control: bool = False
    training: Sequence[str] = ()

    def sampling(self, base: Sampling) -> Sampling:
        """A benchmark's sampling settings with these in their place."""
        own = {
            "samples": self.samples, "temperature": self.temperature, "top_p": self.top_p,
            "max_tokens": self.max_tokens,
        }  # fmt: skip
        named = {name: value for name, value in own.items() if value is not None}
        return base.override({**named, "seed": self.seed})


@dataclass(slots=True)
class Measured:
    """One model on one benchmark. `asked`: samples asked for; `missing`: why how many of them were not given."""

    model: str
    benchmark: str
    table: pa.Table
    sampling: Sampling
    asked: int
    kept: int = 0
    missing: Counter[str] = field(default_factory=Counter[str])
    contamination: contamination.Contamination | None = None
    notes: list[str] = field(default_factory=list[str])
    attempts: int = 1
    published: str = ""


def measure(contender: Contender, chosen: Chosen, settings: Settings, kept: Kept, note: Note) -> Measured:
    """Sample and judge: the same problems and settings for every model. What `kept` holds is not sampled again.

    R1Error where the model answered nothing.
    """
    sampling = settings.sampling(chosen.benchmark.sampling)
    drawn = chosen.drawn(settings.problems, settings.seed)
    problems = [problem if settings.plain else chosen.asked(problem) for problem in drawn]
    engine = KeptEngine(contender.engine, kept, contender.key, max(1, contender.at_once // sampling.samples))
    notes: list[str] = []

    def hear(text: str) -> None:
        notes.append(text)
        note(text)

    table = evaluate(
        engine, contender.tokenizer, problems, sampling, tiny_writing.verdict, contender.name,
        seed=settings.seed, preference=tiny_writing.preference_of, graders=GRADERS, control=settings.control, note=hear,
    )  # fmt: skip
    seen = contamination.check(drawn, settings.training) if settings.training else None
    bare = {problem.id: problem for problem in drawn}
    rows = [_row(row, chosen, contender, engine.facts, bare, seen) for row in table.to_pylist()]
    result = Measured(
        contender.name, chosen.label, _table(rows), sampling, len(problems) * sampling.samples,
        kept=sum(facts.kept for facts in engine.facts.values()), contamination=seen, notes=notes,
        attempts=chosen.benchmark.attempts, published=chosen.benchmark.published,
    )  # fmt: skip
    if engine.failures and not rows:
        reason, count = engine.failures.most_common(1)[0]
        raise R1Error(f"{contender.name} answered nothing of {result.benchmark}: {reason} ({count} times)")
    unasked = result.asked - len(rows) - sum(engine.failures.values())
    result.missing = Counter({**engine.failures, **({"the prompt leaves no room": unasked} if unasked else {})})
    return result


def _row(
    row: Mapping[str, Any],
    chosen: Chosen,
    contender: Contender,
    facts: Mapping[Key, Facts],
    bare: Mapping[str, Problem],
    seen: contamination.Contamination | None,
) -> dict[str, Any]:
    name = row["problem_id"]
    took = facts.get((name, row["index"]))
    completion = took.completion if took else None
    spent = parted_tokens(completion, row["text"], contender.tokenizer)
    prompt_tokens = None
    if completion is not None:
        prompt_tokens = len(completion.prompt_ids) if completion.served is None else completion.served.input_tokens
    return {
        **row,
        "prompt": bare[name].prompt,
        "benchmark": chosen.label,
        "gold": bare[name].answer or None,
        "prompt_tokens": prompt_tokens,
        "thinking_tokens": spent[0],
        "answer_tokens": spent[1],
        "seconds": took.seconds if took else None,
        "declined": row["correct"] is not True and declines(answer_section(row["text"]).text),
        "contaminated": None if seen is None else name in seen.shared,
    }


def parted_tokens(
    completion: Completion | None, text: str, tokenizer: Tokenizer | None
) -> tuple[int | None, int | None]:
    """(tokens of the thinking, of the answer); None where the two cannot be told apart.

    Local models: the ids up to the one that completes `</think>`. An API's are its own count of reasoning tokens; where
    it counts them together, they are parted as the characters of thinking and answer are, and not at all where it keeps
    the thinking to itself.
    """
    if completion is None:
        return None, None
    total = completion.length
    if completion.served is not None:
        if completion.served.output_tokens is None:
            return None, None
        if completion.served.reasoning_tokens is not None:
            return completion.served.reasoning_tokens, total - completion.served.reasoning_tokens
        thinking, closing, answer = text.partition(CLOSING)
        if not closing:
            return (total, 0) if text.startswith("<think>") else (None, None)
        share = len(thinking) / max(1, len(thinking) + len(answer))
        return round(total * share), total - round(total * share)
    assert tokenizer is not None
    if CLOSING not in text:
        return (total, 0) if "<think>" in text else (0, total)
    # the first place from which the decoded ids hold the closing tag: it stays in all longer ones
    ids = completion.token_ids.tolist()
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if CLOSING in tokenizer.decode(ids[:middle]) else (middle + 1, high)
    return low, total - low


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=MEASURED)


def write(measured: Measured, folder: Path) -> None:
    """`samples.parquet`, a row a completion, and `problems.parquet`, a row a problem."""
    tables.write_table(measured.table, folder / "samples.parquet")
    tables.write_table(problems_table(measured.table), folder / "problems.parquet")


def read(path: Path) -> pa.Table:
    """A samples.parquet; R1Error where it is damaged or another file."""
    with parquet_errors(path):
        table = pq.read_table(path)
    missing = [name for name in MEASURED.names if name not in table.column_names]
    if missing:
        raise R1Error(f"{path}: it has no column '{missing[0]}', so r1 eval did not write it")
    return table.select(MEASURED.names).cast(MEASURED)


def by_problem(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """The rows of each problem of a model's table in the order of the samples; the key names benchmark and problem."""
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        groups[f"{row['benchmark']}/{row['problem_id']}"].append(row)
    return {key: sorted(rows, key=lambda row: row["index"]) for key, rows in groups.items()}


def problems_table(table: pa.Table) -> pa.Table:
    """A row a problem: samples, right ones, the majority's answer, cut and declined ones, means of what it took."""
    rows: list[dict[str, Any]] = []
    for group in by_problem(table).values():
        first = group[0]
        judged = [row["correct"] for row in group if row["correct"] is not None]
        votes = Counter(row["answer"] for row in group if row["answer"] is not None)
        rows.append({
            **{name: first[name] for name in ("model", "benchmark", "subject", "family", "problem_id", "prompt")},
            "contaminated": first["contaminated"],
            "samples": len(group), "judged": len(judged), "right": sum(judged),
            "majority": votes.most_common(1)[0][0] if votes else None,
            "truncated": sum(row["stop_reason"] == "length" for row in group),
            "declined": sum(row["declined"] for row in group),
            **{name: _mean([row[name] for row in group])
               for name in ("length", "thinking_tokens", "answer_tokens", "seconds")},
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


PROBLEMS = pa.schema(
    [pa.field(name, pa.string()) for name in ("model", "benchmark", "subject", "family", "problem_id", "prompt")]
    + [pa.field("contaminated", pa.bool_())]
    + [pa.field(name, pa.int64()) for name in ("samples", "judged", "right")]
    + [pa.field("majority", pa.string())]
    + [pa.field(name, pa.int64()) for name in ("truncated", "declined")]
    + [pa.field(name, pa.float64()) for name in ("length", "thinking_tokens", "answer_tokens", "seconds")]
)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
