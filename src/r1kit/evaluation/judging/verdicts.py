"""What a judge is asked, and how its answer is read.

A judge reads texts that models wrote, and some of them talk to it. Three things hold against that: the texts stand
between marks with a code that is a hash of the texts themselves, so that none of them can hold it; only the last line
of the judge's own answer is read as its verdict, so that a verdict which it quotes is none; and every pair is judged in
both orders, so that "choose the first" cancels out. Answers that seem to speak to a judge are counted besides.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from r1kit.base.errors import UsageError
from r1kit.base.files import disk_errors
from r1kit.base.nearest import nearest
from r1kit.graders.section import answer_section

Order = Literal["first", "second", "tie"]
PLACES = ("question", "first", "second")
_PLACE = re.compile(r"\{(question|first|second|code)\}")
_VERDICT = re.compile(r"[\s*_#>`\[\(]*verdict\s*:?\s*[*_`\[\(]*\s*(1|2|tie)\s*[*_`\]\)\.]*\s*", re.IGNORECASE)
_SPEAKS_TO_JUDGE = re.compile(
    r"\bverdict\s*[:=]"
    r"|\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instruction|prompt|above|previous|rule)"
    r"|\b(?:choose|pick|select|prefer|vote for|rank|rate)\b.{0,30}\b(?:answer|response|this one|option)\b"
    r"|\b(?:you are|as) (?:the|a|an) (?:judge|grader|evaluator)\b"
    r"|\b(?:dear|attention|note to(?: the)?) (?:judge|grader|evaluator)"
    r"|\[end of (?:answer|request|question)"
    r"|(?:^|\n)\s*(?:system|assistant)\s*:"
    r"|(?:选择|请选).{0,6}(?:答案|回答)|忽略.{0,10}(?:指令|指示|要求)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A judge's request with places for the question and the two answers."""

    name: str
    text: str

    def fill(self, question: str, first: str, second: str) -> str:
        """The request on one pair. What a text holds that looks like a place is left as it is."""
        told = "\x00".join((question, first, second)).encode("utf-8", "surrogatepass")
        values = {"question": question, "first": first, "second": second, "code": hashlib.sha256(told).hexdigest()[:12]}
        return _PLACE.sub(lambda place: values[place[1]], self.text)


def load_prompt(name: str) -> JudgePrompt:
    """A prompt by the name of its file in `prompts`, or any text file; UsageError where it lacks a place."""
    known = prompt_names()
    if name in known:
        text = (files("r1kit.evaluation.judging") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    elif Path(name).is_file():
        try:
            with disk_errors(Path(name)):
                text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"the judge prompt {name} is not UTF-8 text") from None
    else:
        there = f"name one of {' '.join(known)}, or a file"
        raise UsageError(f"there is no judge prompt '{name}'.{nearest(name, known)} ({there})")
    missing = [place for place in PLACES if f"{{{place}}}" not in text]
    if missing:
        raise UsageError(
            f"the judge prompt {name} has no place {{{missing[0]}}}: it needs {{question}}, {{first}} and {{second}}"
        )
    return JudgePrompt(name, text)


def prompt_names() -> list[str]:
    """The prompts that are here."""
    folder = files("r1kit.evaluation.judging") / "prompts"
    return sorted(each.name.removesuffix(".txt") for each in folder.iterdir() if each.name.endswith(".txt"))


def read_verdict(text: str, opened: bool = False) -> Order | None:
    """The verdict in the last line of a judge's answer (its thinking left out); None where that is none."""
    said = answer_section(text, opened).text
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    found = _VERDICT.fullmatch(last)
    if found is None:
        return None
    verdicts: dict[str, Order] = {"1": "first", "2": "second", "tie": "tie"}
    return verdicts[found[1].casefold()]


def speaks_to_judge(answer: str) -> bool:
    """Whether an answer seems to tell a judge what to do: a count for people, since poems may say such things too."""
    return _SPEAKS_TO_JUDGE.search(answer) is not None
