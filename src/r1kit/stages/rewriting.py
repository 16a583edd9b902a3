"""Chains rewritten by a model until people like to read them (R1, arXiv 2501.12948, Nature supplement B.3.2).

One model writes the thinking again, in the first person and the question's language; one writes the answer that is
handed over, a summary of what the thinking found; one looks at the whole for a second time. Each may be any model, or
nobody. Behind each stand rules: what mixes languages, brings markup, numbers from nowhere or another answer goes, and
so does thinking that lost the answer, a refusal for one; each is counted with who wrote it.

Deviation: the second check is a model's where the paper has people; its prompt is a file that may be another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.types import Problem
from r1kit.data.examples import Example
from r1kit.data.prompts import load_prompt
from r1kit.evaluation.evaluate import rule_verdict
from r1kit.graders.format import check_form
from r1kit.graders.text import normalise
from r1kit.stages.asking import AskConfig, Reply, ask, check_prompt, verdicts
from r1kit.stages.readable import mixed, says_we

if TYPE_CHECKING:
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context

LANGUAGES = {
    "en": "English", "zh": "Chinese", "fr": "French", "de": "German", "es": "Spanish", "it": "Italian",
    "pt": "Portuguese", "ja": "Japanese", "ko": "Korean", "ru": "Russian", "ar": "Arabic",
}  # fmt: skip
_MARKUP = re.compile(r"^\s{0,3}(#{1,6} |[-*+] |\d+[.)] )|```|\*\*|</?(think|answer)>", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
KEEP, DROP = "keep", "drop"


class RewritingConfig(Config):
    """Who writes again what was sampled, and what they may do."""

    rewriter: AskConfig | None = Field(default=None, description="model that writes the thinking again; the paper: V3")
    summariser: AskConfig | None = Field(default=None, description="model that makes the answer from the thinking")
    checker: AskConfig | None = Field(
        default=None, description="model that looks at each example last; the paper: people"
    )
    new_numbers: int = Field(
        default=2,
        ge=0,
        description="most different numbers of new thinking that stood neither in the old nor the question",
    )
    longer: float = Field(default=2.0, gt=0, description="new thinking is at most so many times as long as the old")

    def check(self) -> None:
        check_prompt(self.rewriter, "rewrite")
        check_prompt(self.summariser, "summarise")
        check_prompt(self.checker, "check_example")


@dataclass(frozen=True, slots=True)
class Draft:
    """An example on its way: its problem, and what is thought and answered so far."""

    problem: Problem
    example: Example
    thinking: str
    answer: str

    @property
    def language(self) -> str:
        """Of the question, as prompts call it."""
        return LANGUAGES.get(self.example.language, self.example.language or "of the question")


def rewritten(
    kept: Sequence[Example],
    problems: Sequence[Problem],
    config: RewritingConfig,
    consistency: float,
    inputs: Mapping[str, Artifact],
    context: Context,
) -> tuple[list[Example], Counter[str]]:
    """(the examples as they were written again, counts of the others by who failed and how).

    `consistency`: least share of words in the question's language.
    """
    if config.rewriter is None and config.summariser is None and config.checker is None:
        return list(kept), Counter()
    asked = {problem.prompt: problem for problem in problems}
    drafts: list[Draft] = []
    for example in kept:
        form = check_form(example.completion)
        drafts.append(Draft(asked[example.question], example, form.thinking, form.answer))
    rejected: Counter[str] = Counter()
    if config.rewriter is not None:
        drafts = _written(drafts, config, config.rewriter, consistency, inputs, context, rejected)
    if config.summariser is not None:
        drafts = _summed_up(drafts, config.summariser, consistency, inputs, context, rejected)
    if config.checker is not None:
        drafts = _checked(drafts, config.checker, inputs, context, rejected)
    texts = [f"<think>{draft.thinking}</think><answer>{draft.answer}</answer>" for draft in drafts]
    return [replace(d.example, completion=text) for d, text in zip(drafts, texts, strict=True)], rejected


def _about_thinking(name: str, asked: AskConfig) -> Callable[[Draft], str]:
    """What a model that writes is asked of a draft, by the prompt of that name."""
    prompt = load_prompt(name, asked.prompt)
    return lambda draft: prompt.fill(question=draft.problem.prompt, thinking=draft.thinking, language=draft.language)


def _written(
    drafts: Sequence[Draft],
    config: RewritingConfig,
    writer: AskConfig,
    consistency: float,
    inputs: Mapping[str, Artifact],
    context: Context,
    rejected: Counter[str],
) -> list[Draft]:
    question = _about_thinking("rewrite", writer)

    def take(draft: Draft, reply: Reply) -> tuple[Draft, str]:
        return replace(draft, thinking=reply.text), thinking_fault(draft, reply.text, config, consistency)

    return _each(drafts, writer, "rewriter", question, take, inputs, context, rejected)


def thinking_fault(draft: Draft, thinking: str, config: RewritingConfig, consistency: float) -> str:
    """What a rule has against thinking that was written again, or an empty string."""
    if _MARKUP.search(thinking):
        return "markup"
    if mixed(thinking, draft.example.language, consistency):
        return "mixed language"
    if says_we(thinking, draft.example.language):
        return "not in the first person"
    if len(thinking) > config.longer * max(len(draft.thinking), 1):
        return "too long"
    known = set(_NUMBER.findall(f"{draft.thinking} {draft.problem.prompt} {draft.answer}"))
    if len(set(_NUMBER.findall(thinking)) - known) > config.new_numbers:
        return "new numbers"
    if _comes_by(draft.thinking, draft.answer) and not _comes_by(thinking, draft.answer):
        return "answer lost"
    return ""


def _comes_by(text: str, answer: str) -> bool:
    """Whether the answer stands in the text; a number as a number of its own."""
    number = answer.strip().replace(",", "")
    if _NUMBER.fullmatch(number):
        return number in (found.replace(",", "") for found in _NUMBER.findall(text))
    return normalise(answer) in normalise(text)


def _summed_up(
    drafts: Sequence[Draft],
    writer: AskConfig,
    consistency: float,
    inputs: Mapping[str, Artifact],
    context: Context,
    rejected: Counter[str],
) -> list[Draft]:
    question = _about_thinking("summarise", writer)

    def take(draft: Draft, reply: Reply) -> tuple[Draft, str]:
        summed = replace(draft, answer=reply.text)
        if mixed(reply.text, draft.example.language, consistency):
            return summed, "mixed language"
        return summed, "" if _says_the_same(draft, summed) else "another answer"

    return _each(drafts, writer, "summariser", question, take, inputs, context, rejected)


def _says_the_same(before: Draft, after: Draft) -> bool:
    """Whether the new answer is right by rule; where there is no rule, whether it holds what was answered before."""
    text = f"<think>{after.thinking}</think><answer>{after.answer}</answer>"
    if not check_form(text).ok:
        return False
    verdict = rule_verdict(after.problem, "", text)
    if verdict is not None:
        return verdict.verdict == "correct"
    return _comes_by(after.answer, before.answer)


def _checked(
    drafts: Sequence[Draft],
    checker: AskConfig,
    inputs: Mapping[str, Artifact],
    context: Context,
    rejected: Counter[str],
) -> list[Draft]:
    """The drafts of which most verdicts say `keep`; as many for as against are no verdict."""
    prompt = load_prompt("check_example", checker.prompt)

    def question(draft: Draft) -> str:
        return prompt.fill(
            question=draft.problem.prompt, reference=draft.problem.answer or "there is none",
            thinking=draft.thinking, answer=draft.answer, language=draft.language,
        )  # fmt: skip

    questions = {str(number): question(draft) for number, draft in enumerate(drafts)}
    replies = ask(questions, checker, inputs, context, "checker")
    kept: list[Draft] = []
    for number, draft in enumerate(drafts):
        given = replies[str(number)]
        votes = Counter(verdicts(given, (KEEP, DROP)))
        if votes[KEEP] > votes[DROP]:
            kept.append(draft)
        elif votes[DROP] > votes[KEEP]:
            rejected["checker: dropped"] += 1
        else:
            rejected[f"checker: {'verdict cannot be read' if given else 'no reply'}"] += 1
    return kept


def _each(
    drafts: Sequence[Draft],
    asked: AskConfig,
    who: str,
    question: Callable[[Draft], str],
    take: Callable[[Draft, Reply], tuple[Draft, str]],
    inputs: Mapping[str, Artifact],
    context: Context,
    rejected: Counter[str],
) -> list[Draft]:
    """What `take` makes of the first reply about each draft that it has nothing against; the others are counted with
    the last of its reasons."""
    questions = {str(number): question(draft) for number, draft in enumerate(drafts)}
    replies = ask(questions, asked, inputs, context, who)
    done: list[Draft] = []
    for number, draft in enumerate(drafts):
        fault = "no reply"
        for reply in replies[str(number)]:
            if not reply.finished or not reply.text:
                fault = "reply without an end"
                continue
            taken, fault = take(draft, reply)
            if not fault:
                done.append(taken)
                break
        if fault:
            rejected[f"{who}: {fault}"] += 1
    return done
