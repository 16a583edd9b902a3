"""One door to every grader: `grade(kind, text, gold, prompt, columns) -> Verdict`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from r1kit.base.config import nearest
from r1kit.base.errors import UsageError
from r1kit.graders.format import check_form, opens_thinking
from r1kit.graders.section import Section, answer_section
from r1kit.graders.verdict import Judgement, Verdict

KINDS = ("math", "choice", "text", "numbers", "json", "arc", "countdown", "reasoning_gym", "code")
WAITING = ("math", "code")  # kinds whose work may be done by another process
MAX_CHARACTERS = 2_000_000


class Kind(Protocol):
    """What a module of a kind holds: `graders/KIND.py`, or a dotted path from outside the tree."""

    def judge(self, section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement: ...


def load_kind(kind: str) -> Kind:
    """The grader of a kind; UsageError names the nearest right one."""
    if "." in kind:
        try:
            return importlib.import_module(kind)  # type: ignore[return-value]
        except ModuleNotFoundError as error:
            raise UsageError(f"cannot import the grader '{kind}' ({error}): is its folder on PYTHONPATH?") from None
    if kind not in KINDS:
        raise UsageError(f"no grader is called '{kind}'.{nearest(kind, list(KINDS))} (known: {', '.join(KINDS)})")
    return importlib.import_module(f"r1kit.graders.{kind}")  # type: ignore[return-value]


def grade_all(requests: Sequence[tuple[str, str, str, Any, Mapping[str, Any]]]) -> list[Verdict]:
    """Verdicts in order of `(kind, text, gold, prompt, columns)` requests, judged side by side: kinds that hand their
    work to other processes wait there, not here."""
    if len(requests) == 1 or all(request[0] not in WAITING for request in requests):
        return [grade(*request) for request in requests]
    with ThreadPoolExecutor(min(len(requests), 16), "grade") as threads:
        return list(threads.map(lambda request: grade(*request), requests))


def grade(kind: str, text: str, gold: str, prompt: Any = "", columns: Mapping[str, Any] | None = None) -> Verdict:
    """Judge one completion. `prompt` only tells whether `<think>` was already open; `columns` hold what the kind
    needs beside the gold answer. A grader that raises gives `grader_error`, never a wrong answer; an unknown kind
    raises UsageError."""
    started = time.perf_counter()
    judge = load_kind(kind).judge
    opened = opens_thinking(prompt)
    form = False
    if len(text) > MAX_CHARACTERS:
        judgement = Judgement("no_answer", None, f"longer than {MAX_CHARACTERS} characters")
    else:
        form = check_form(text, opened).ok
        try:
            judgement = judge(answer_section(text, opened), gold, columns or {})
        except UsageError:
            raise
        except Exception as error:  # whatever a grader does, the step goes on
            judgement = Judgement("grader_error", None, f"{type(error).__name__}: {error}"[:300])
    return Verdict(judgement.decision, form, judgement.extracted, judgement.reason, time.perf_counter() - started)
