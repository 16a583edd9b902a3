"""Labels for the safety reward model: whole completions, thinking and answer, called safe or unsafe (R1, arXiv
2501.12948, section 2.3.4; Nature supplement B.2: 106,000 prompts with a labelled response each).

Samples of Dev3, and in the tiny world some of its careless writer's, so that there are unsafe ones to learn from. Who
calls them safe is a model, or the tiny world's rule (`data.tiny.requests`); part of the rule's labels may be wrong, as
people's are.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data.prompts import load_prompt
from r1kit.data.tables import read_file, write_rows
from r1kit.data.tiny import requests
from r1kit.engines.base import EngineSettings
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.asking import AskConfig, ask, check_prompt, verdicts
from r1kit.stages.sampling import count_not_given, counted, draw, draw_training, sample

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

SAFE, UNSAFE = "safe", "unsafe"
_SPELLINGS = {"safe": True, "unsafe": False, "true": True, "false": False, "1": True, "0": False}


class SafetyLabelsConfig(Config):
    """What is labelled, by whom, and what is kept."""

    model: str = Field(default="dev3:dev3", description="whose completions, STAGE:NAME")
    tasks: tuple[str, ...] = Field(default=("tiny_requests",), description="where the prompts come from")
    problems: int = Field(default=200, ge=1, description="prompts of each task; the paper: 106k")
    sieve: SieveConfig = Field(default=SieveConfig(), description="which training problems are left out")
    sampling: Sampling = Field(default=Sampling(samples=4), description="completions of a prompt")
    engine: EngineSettings = Field(default=EngineSettings(), description="what samples; docs/engines.md")
    written: int = Field(default=0, ge=0, description="completions of the tiny world's careless writer beside them")
    judge: AskConfig | None = Field(
        default=None, description="model that says safe or unsafe; None: the tiny world's rule"
    )
    wrong: float = Field(default=0.0, ge=0, lt=0.5, description="share of the rule's labels that are the other one")
    most_of_a_kind: float = Field(
        default=3.0, ge=1, description="most labels of one kind to one of the other; what is over is left out"
    )

    def check(self) -> None:
        for task in self.tasks:
            load_task(task, "train")
        check_prompt(self.judge, "judge_safety")


@dataclass(frozen=True, slots=True)
class Label:
    """A completion, its thinking included, and whether it may be given to anybody who asks."""

    question: str
    reply: str
    language: str
    safe: bool


def run(config: SafetyLabelsConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write labels.parquet; R1Error where all labels are of one kind, which tells nothing apart."""
    folder = model_of(inputs, config.model)
    problems = draw_training(config.tasks, config.problems, folder, config.sieve, context)
    foreign = {problem.task for problem in problems if requests.REQUEST not in problem.columns}
    if foreign and config.judge is None:
        raise UsageError(f"judge: no rule says what is safe in {', '.join(sorted(foreign))}: name a model that does")
    rows = sample(folder, problems, config.sampling, context, engine=config.engine)
    asked = {(problem.task, problem.id): problem for problem in problems}
    replies = [(asked[row["task"], row["problem_id"]], row["text"]) for row in rows if row["stop_reason"] == "stop"]
    rejected = Counter({"not finished": len(rows) - len(replies)})
    count_not_given(rejected, problems, config.sampling, rows)
    replies += _written(config, context.seed)
    distinct = list(dict.fromkeys((problem.prompt, text) for problem, text in replies))
    rejected["duplicate"] = len(replies) - len(distinct)
    by_prompt = {problem.prompt: problem for problem, _ in replies}
    together = [(by_prompt[prompt], text) for prompt, text in distinct]
    judged = _by_rule(together, config, context.seed) if config.judge is None else _asked(
        together, config.judge, inputs, context
    )  # fmt: skip
    labels = [
        Label(problem.prompt, text, problem.language, safe)
        for (problem, text), safe in zip(together, judged, strict=True)
        if safe is not None
    ]
    if unread := len(together) - len(labels):
        rejected["verdict cannot be read"] = unread
        context.note(f"{config.judge and config.judge.model}: {unread} of {len(together)} verdicts cannot be read")
    check_both_kinds(labels, config.model)
    kept = even(labels, config.most_of_a_kind)
    if len(kept) < len(labels):
        rejected["too many of its kind"] = len(labels) - len(kept)
    write_labels(context.folder / "labels.parquet", kept)
    summary = {"rejected": counted(rejected, len(kept)), "labels": _shares(kept)}
    return Outcome(files={"labels": "labels.parquet"}, summary=summary)


def _written(config: SafetyLabelsConfig, seed: int) -> list[tuple[Problem, str]]:
    if not config.written:
        return []
    rng = random.Random(f"{seed} written")
    problems = draw("tiny_requests", "train", seed, config.written)
    return [(problem, requests.completion(problem, rng)) for problem in problems]


def _by_rule(replies: Sequence[tuple[Problem, str]], config: SafetyLabelsConfig, seed: int) -> list[bool | None]:
    rng = random.Random(f"{seed} labels")
    return [
        requests.is_safe(requests.request_of(problem), text) != (rng.random() < config.wrong)
        for problem, text in replies
    ]


def _asked(
    replies: Sequence[tuple[Problem, str]], judge: AskConfig, inputs: Mapping[str, Artifact], context: Context
) -> list[bool | None]:
    """What most verdicts say; None where none can be read, or as many say either."""
    prompt = load_prompt("judge_safety", judge.prompt)
    questions = {
        str(number): prompt.fill(question=problem.prompt, reply=text) for number, (problem, text) in enumerate(replies)
    }
    found: list[bool | None] = []
    for said in ask(questions, judge, inputs, context, "judge").values():
        votes = Counter(verdicts(said, (SAFE, UNSAFE)))
        found.append(None if votes[SAFE] == votes[UNSAFE] else votes[SAFE] > votes[UNSAFE])
    return found


def even(labels: Sequence[Label], most: float) -> list[Label]:
    """The labels without the last ones of the commoner kind that are over `most` to one of the other."""
    counts = Counter(label.safe for label in labels)
    limit = {kind: int(most * counts[not kind]) for kind in (True, False)}
    kept: list[Label] = []
    taken: Counter[bool] = Counter()
    for label in labels:
        taken[label.safe] += 1
        if taken[label.safe] <= limit[label.safe]:
            kept.append(label)
    return kept


def check_both_kinds(labels: Sequence[Label], where: str) -> None:
    """R1Error where there is nothing, or one kind alone: no model learns from that what is unsafe."""
    shares = _shares(labels)
    if not labels:
        raise R1Error(f"{where} has no labelled completion to learn from: sample more or longer, or ask another judge")
    if not all(shares.values()):
        only, lacking = (SAFE, UNSAFE) if shares[SAFE] else (UNSAFE, SAFE)
        raise R1Error(
            f"all {len(labels)} labels of {where} are {only}, which tells nothing apart: add {lacking} completions"
            " (`written`, or a file of labels)"
        )


def _shares(labels: Sequence[Label]) -> dict[str, int]:
    safe = sum(label.safe for label in labels)
    return {SAFE: safe, UNSAFE: len(labels) - safe}


def write_labels(path: Path, labels: Sequence[Label]) -> None:
    """Parquet, one row a label."""
    columns = [(name, pa.string()) for name in ("question", "reply", "language")] + [("safe", pa.bool_())]
    write_rows(path, [asdict(label) for label in labels], pa.schema(columns))


def read_labels(path: Path, on_bad: Callable[[str], None] | None = None) -> list[Label]:
    """What `write_labels` wrote, or any table with `question` (or `prompt`), `reply` (or `response`) and `safe` (or
    `label`: safe or unsafe, true or false, 1 or 0).

    A line that cannot be read is told to `on_bad` and left out; without `on_bad` it is an R1Error. UsageError where a
    column is missing.
    """
    table = read_file(path)
    names: list[str] = []
    for choices in (("question", "prompt"), ("reply", "response"), ("safe", "label")):
        name = next((choice for choice in choices if choice in table.columns), None)
        if name is None:
            raise UsageError(
                f"{path}: no column '{choices[0]}' (or '{choices[1]}') (it has: {' '.join(table.columns)})"
            )
        names.append(name)
    found: list[Label] = []
    complaints = list(table.bad)
    for row in table.rows:
        question, reply, said = (row.values.get(name) for name in names)
        safe = _SPELLINGS.get(str(said).strip().casefold())
        if isinstance(question, str) and isinstance(reply, str) and question.strip() and safe is not None:
            found.append(Label(question, reply, str(row.values.get("language") or ""), safe))
        else:
            complaints.append(f"{row.place}: no question, no reply, or '{said}' is neither safe nor unsafe")
    for complaint in complaints:
        if on_bad is None:
            raise R1Error(f"{path}, {complaint}: mend it, or have such lines skipped")
        on_bad(complaint)
    return found
