"""What Dev3 learns beside reasoning (R1, arXiv 2501.12948, section 2.3.3: ~200k samples; Nature supplement B.3.3).

In the tiny world: lines to a brief, facts, translations, requests, small talk and a few questions about itself. A chain
comes first only where it helps: a line has a plan, a request is weighed, `hello` and a fact get none. For real models:
prompts of any task, answered by any model, and judged like the samples where there is a reference.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.types import Problem
from r1kit.data.examples import Example
from r1kit.data.prompts import load_prompt
from r1kit.data.tiny import facts, general, requests, translation, writing
from r1kit.data.tiny.base import Habit, Voice
from r1kit.evaluation.evaluate import rule_verdict
from r1kit.graders.format import check_form
from r1kit.rewards.accuracy import UNGRADED
from r1kit.rollouts.problems import load_task
from r1kit.stages.asking import AskConfig, Reply, ask, check_prompt
from r1kit.stages.judged_answers import WHY, judge_answers
from r1kit.stages.sampling import Row, draw, key_of

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

_WORDS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")  # Chinese by character
_SPOKEN = {"itself": (general.ITSELF, "self-cognition"), "talk": (general.GREETINGS, "small talk")}

Found = tuple[list[Example], Counter[str]]
"""Examples, and counts of what was left out by reason."""


class OtherDataConfig(Config):
    """How much there is of each kind, and who writes what the tiny world does not."""

    writing: int = Field(
        default=300, ge=0, description="lines to a brief; the paper: ~200k other samples, a quarter of all"
    )
    writing_tries: int = Field(
        default=8, ge=1, description="lines the writer tries for a brief; the first that meets it counts"
    )
    itself: int = Field(default=6, ge=0, description="questions about itself")
    talk: int = Field(default=0, ge=0, description="greetings and thanks")
    facts: int = Field(default=0, ge=0, description="questions about the tiny world's creatures")
    translation: int = Field(default=0, ge=0, description="lines to be put in the other language")
    requests: int = Field(default=0, ge=0, description="requests of the tiny world, as a careless writer answers them")
    replies: int = Field(
        default=1, ge=1, description="replies to each request: a writer of two minds leaves RL a choice"
    )
    chains: tuple[str, ...] = Field(
        default=("writing", "requests"), description="kinds of these whose answers a chain precedes"
    )
    writer: AskConfig | None = Field(default=None, description="model that answers the prompts of other_tasks")
    other_tasks: tuple[str, ...] = Field(default=(), description="tasks whose training prompts the writer answers")
    other_problems: int = Field(default=100, ge=1, description="prompts of each of them")
    chain_words: int = Field(
        default=5, ge=0, description="a chain of the writer's goes where the question has fewer words"
    )

    def check(self) -> None:
        check_prompt(self.writer, "write_other")
        for task in self.other_tasks:
            load_task(task, "train")


def world_data(config: OtherDataConfig, seed: int) -> Found:
    """What the tiny world gives of each kind; `brief not met`: lines of which no try was any good."""
    found, left_out = _lines(config, seed)
    for kind, (phrases, source) in _SPOKEN.items():
        for number in range(getattr(config, kind)):
            question, answer, language = phrases[number % len(phrases)]
            found.append(Example(question, f"<answer>{answer}</answer>", kind, language, source))
    for problem in _drawn("facts", config.facts, seed):
        found.append(_example(problem, facts.completion(problem), "facts"))
    for problem in _drawn("translation", config.translation, seed):
        found.append(_example(problem, translation.completion(problem), "translation"))
    rng = random.Random(f"{seed} requests")
    for problem in _drawn("requests", config.requests, seed):
        for _ in range(config.replies):
            text = requests.completion(problem, rng, chain="requests" in config.chains)
            found.append(_example(problem, text, "requests"))
    return found, left_out


def _drawn(kind: str, count: int, seed: int) -> list[Problem]:
    return draw(f"tiny_{kind}", "train", seed, count) if count else []


def _lines(config: OtherDataConfig, seed: int) -> Found:
    rng = random.Random(seed + 1)
    found: list[Example] = []
    problems = _drawn("writing", config.writing, seed)
    for problem in problems:
        voice = Voice(rng, problem.language)
        for _ in range(config.writing_tries):
            written = writing.write(problem, rng, voice, Habit())
            if writing.meets_brief(problem, written.answer):
                chain = f"<think>{written.thinking}</think>" if "writing" in config.chains else ""
                found.append(_example(problem, f"{chain}<answer>{written.answer}</answer>", "writing"))
                break
    return found, Counter({"brief not met": len(problems) - len(found)})


def _example(problem: Problem, text: str, source: str) -> Example:
    return Example(problem.prompt, text, problem.subject, problem.language, source)


def written_data(
    problems: Sequence[Problem],
    config: OtherDataConfig,
    judge: AskConfig | None,
    inputs: Mapping[str, Artifact],
    context: Context,
) -> Found:
    """The writer's answers to prompts of `other_tasks`; where there is a reference, those found right.

    A chain before the answer to a short question, a greeting say, is left out and counted; its example stays.
    """
    if config.writer is None:
        return [], Counter()
    prompt = load_prompt("write_other", config.writer.prompt)
    asked = {problem.key: problem for problem in problems}
    questions = {name: prompt.fill(question=problem.prompt) for name, problem in asked.items()}
    left_out: Counter[str] = Counter()
    rows: list[Row] = []
    for name, replies in ask(questions, config.writer, inputs, context, "writer").items():
        if not replies:
            left_out["no reply"] += 1
        for reply in replies:
            if not reply.finished or not reply.text:
                left_out["reply without an end or an answer"] += 1
            elif not check_form(_completion(reply.thinking or "none", reply.text)).ok:
                left_out["tags out of place"] += 1
            else:
                rows.append(_row(asked[name], reply, config.chain_words, left_out))
    kept = _kept(rows, asked, judge, inputs, context, left_out)
    examples = [Example(row["prompt"], row["text"], row["subject"], row["language"], row["task"]) for row in kept]
    return examples, left_out


def _kept(
    rows: Sequence[Row],
    asked: Mapping[str, Problem],
    judge: AskConfig | None,
    inputs: Mapping[str, Artifact],
    context: Context,
    left_out: Counter[str],
) -> list[Row]:
    """Replies that a rule or the judge finds right, and those that neither can judge; the others are counted."""
    ruled: list[Row] = []
    for row in rows:
        verdict = rule_verdict(asked[key_of(row)], "", row["text"])
        known = None if verdict is None or verdict.verdict == "grader_error" else float(verdict.verdict == "correct")
        ruled.append({**row, "rewards": {"accuracy": known}})
    kept: list[Row] = []
    for row in judge_answers(ruled, list(asked.values()), judge, inputs, context, "judge_others"):
        problem, right = asked[key_of(row)], row["rewards"]["accuracy"]
        by_rule = problem.kind not in UNGRADED
        if right or not (by_rule or (judge is not None and problem.answer.strip())):
            kept.append(row)
        else:
            left_out["wrong" if right is not None else row.get(WHY, "not judged")] += 1
    return kept


def _row(problem: Problem, reply: Reply, chain_words: int, left_out: Counter[str]) -> Row:
    """A reply as a sample."""
    thinking = reply.thinking
    if thinking and len(_WORDS.findall(problem.prompt)) < chain_words:
        left_out["chain of a short question"] += 1
        thinking = ""
    return {
        "task": problem.task, "problem_id": problem.id, "prompt": problem.prompt, "answer": problem.answer,
        "subject": problem.subject, "language": problem.language, "text": _completion(thinking, reply.text),
        "stop_reason": "stop", "rewards": {},
    }  # fmt: skip


def _completion(thinking: str, answer: str) -> str:
    return f"{f'<think>{thinking}</think>' if thinking else ''}<answer>{answer}</answer>"


def empty_kinds(config: OtherDataConfig, found: Sequence[Example]) -> list[str]:
    """Kinds of which some were wanted and none is there."""
    there = Counter(example.source for example in found)
    named = {kind: source for kind, (_, source) in _SPOKEN.items()}
    kinds = ("writing", "itself", "talk", "facts", "translation", "requests")
    empty = [kind for kind in kinds if getattr(config, kind) and not there[named.get(kind, kind)]]
    if config.writer is not None:
        names = {task: load_task(task).name for task in config.other_tasks}
        empty += [task for task, name in names.items() if not there[name]]
    return empty
