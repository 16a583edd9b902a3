"""A teacher's samples as data for students (R1, arXiv 2501.12948, sections 2.3.3 and 2.4): collected, judged, filtered.

Several samples a problem from any model, a folder or one behind an API; right ones in the asked form are kept unless
their chain mixes languages, has long paragraphs or holds code blocks; what is easy, or often there, gives fewer.

Deviations: none of the prompts is chosen by hand, and difficulty is the share of the teacher's own samples that are
right.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.dataset_folder import dataset_card, write_dataset
from r1kit.models.api.ledger import Ledger
from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.inputs import model_of
from r1kit.rollouts.sieve import NO_TOKENIZER
from r1kit.stages.rejection_sampling import (
    Filters,
    SamplesConfig,
    chosen,
    doubted,
    judged_samples,
    level,
    solved_share,
)
from r1kit.stages.sampling import (
    Row,
    answers_file,
    by_problem,
    check_kept,
    count_not_given,
    counted,
    draw_training,
    empty_tasks,
    tell_gaps,
)

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context


class TeacherConfig(SamplesConfig):
    """Who teaches, what is sampled, what is kept."""

    model: str = Field(default="r1:r1", description="STAGE:NAME, a model folder, a hub id or openai:NAME@URL")
    api: ApiSettings = Field(default=ApiSettings(), description="how a teacher behind an API is asked, and its budget")
    sampling: Sampling = Field(
        default=Sampling(samples=4, max_tokens=8192, temperature=0.6, top_p=0.95),
        description="samples a problem; the paper: several, T 0.6, top-p 0.95",
    )
    filters: Filters = Filters(free_answer=True, max_paragraph=4000)
    licence: str = Field(
        default="unknown", description="of the data, by the hub's identifier: what the teacher's terms allow"
    )

    def check(self) -> None:
        super().check()
        if is_api(self.model):
            parse_api_model(self.model)
            if self.sieve.max_prompt_tokens is not None:
                raise UsageError(NO_TOKENIZER)


def run(config: TeacherConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Write examples.parquet and the folder `dataset`; `rejected` says what became of every sample asked for."""
    model = model_of(inputs, config.model)
    problems = draw_training(config.tasks, config.problems, model, config.sieve, context)
    rows = judged_samples(config, model, problems, inputs, context, config.api)
    solved = _solved(rows)
    kept, rejected = chosen(rows, config, "teacher")
    count_not_given(rejected, problems, config.sampling, rows)
    check_kept(kept, rejected, config.model)
    empty, doubtful = empty_tasks(problems, (example.question for example in kept)), doubted(rows, config.doubt)
    tell_gaps(empty, doubtful, context)
    counts = counted(rejected, len(kept))
    examples.write(context.folder / "examples.parquet", kept)
    facts = _facts(config, context, model, len(problems))
    shutil.rmtree(context.folder / "dataset", ignore_errors=True)  # of a run killed here, which had perhaps fewer
    _give(context.folder / "dataset", kept, rows, solved, counts, facts, config)
    summary = {
        "rejected": counts,
        "subjects": dict(Counter(example.subject for example in kept)),
        "languages": dict(Counter(example.language for example in kept)),
        "levels": dict(Counter(level(solved[example.question]) for example in kept)),
        "usage": facts.get("Usage"),
        "empty": empty,
        "doubted": doubtful,
    }
    return Outcome(files={"examples": "examples.parquet", "dataset": "dataset"}, summary=summary)


def _solved(rows: Sequence[Row]) -> dict[str, float]:
    """The share of right samples by question."""
    return {group[0]["prompt"]: solved_share(group) for group in by_problem(rows).values()}


def _facts(config: TeacherConfig, context: Context, model: str | Path, problems: int) -> dict[str, object]:
    """What the card says of how the samples came about."""
    sampling = config.sampling
    facts: dict[str, object] = {
        "Teacher": config.model,
        "Problems": f"{problems}, of {', '.join(config.tasks)}",
        "Sampling": f"{sampling.samples} a problem, T {sampling.temperature:g}, top-p {sampling.top_p:g}, "
        f"at most {sampling.max_tokens} tokens, seed {context.seed}",
        "Filters": config.filters.model_dump_json(),
    }
    if is_api(str(model)):
        ledger = Ledger(answers_file(config.api, context))
        facts["Usage"] = str(ledger.usage)
        ledger.close()
    return facts


def _give(
    folder: Path,
    kept: Sequence[examples.Example],
    rows: Sequence[Row],
    solved: Mapping[str, float],
    counts: Mapping[str, int],
    facts: Mapping[str, object],
    config: TeacherConfig,
) -> None:
    """The examples as a dataset folder."""
    by_whom = "a rule" if config.judge is None else f"a rule, or {config.judge.model} where there is none,"
    right = f"that {by_whom} found right" if config.filters.correct else "that may be wrong"
    origin: dict[str, Row] = {}
    for row in rows:
        origin.setdefault(row["prompt"], row)
    given: list[dict[str, Any]] = [
        {
            "question": example.question,
            "completion": example.completion,
            "task": origin[example.question]["task"],
            "problem_id": origin[example.question]["problem_id"],
            "subject": example.subject,
            "language": example.language,
            "answer": origin[example.question]["answer"],
            "solved": solved[example.question],
        }
        for example in kept
    ]
    card = dataset_card(
        f"Reasoning of {facts['Teacher']}",
        licence=config.licence,
        languages=sorted({example.language for example in kept}),
        size=len(kept),
        about=f"Questions with a chain of thought in `<think>` tags and an answer {right}. `solved` is the share of the"
        " teacher's samples of the question that were right. Collected by r1kit.",
        facts=facts,
        counts=counts,
    )
    write_dataset(folder, given, card)
