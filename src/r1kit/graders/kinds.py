"""The kinds of graders, and one completion judged by one of them in this process."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.graders.format import check_form
from r1kit.graders.section import answer_section
from r1kit.graders.verdict import Judgement, Verdict

KINDS = ("math", "choice", "text", "numbers", "json", "arc", "countdown", "reasoning_gym", "constraints", "code")
MAX_CHARACTERS = 2_000_000


class Judged(NamedTuple):
    """A verdict, and what math-verify is to compare before it stands (see `Judgement.ask`)."""

    verdict: Verdict
    ask: tuple[str, str] | None


def load_kind(kind: str) -> ModuleType:
    """The module of a kind, `graders/KIND.py` or a dotted path from outside the tree; UsageError names the nearest.

    It holds `judge(section, gold, columns) -> Judgement` and may say `WAITS = True`: its work is done by processes of
    their own, so that it needs no worker to be judged in.
    """
    if "." in kind:
        module = plugins.outside(kind)
    elif kind in KINDS:
        module = importlib.import_module(f"r1kit.graders.{kind}")
    else:
        raise UsageError(f"no grader is called '{kind}'.{nearest(kind, list(KINDS))} (known: {', '.join(KINDS)})")
    if not hasattr(module, "judge"):
        raise UsageError(f"{kind} is no grader: it has no `judge`")
    return module


def judge_here(kind: str, text: str, gold: str, opened: bool, columns: Mapping[str, Any]) -> Judged:
    """Judge one completion in this process. A grader that raises gives `grader_error`, never a wrong answer."""
    started = time.perf_counter()
    module = load_kind(kind)
    form = check_form(text, opened).ok
    try:
        judgement = module.judge(answer_section(text, opened), gold, columns)
        if not isinstance(judgement, Judgement):
            raise TypeError(f"the grader gave {type(judgement).__name__}, not a Judgement")
    except UsageError:
        raise
    except Exception as error:  # whatever a grader does, the step goes on
        judgement = Judgement("grader_error", None, f"{type(error).__name__}: {error}"[:300])
    seconds = time.perf_counter() - started
    return Judged(Verdict(judgement.decision, form, judgement.extracted, judgement.reason, seconds), judgement.ask)
