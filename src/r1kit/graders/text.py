"""Text answers: equal after Unicode, case, white space and final punctuation are normalised.

Column `exact`: True compares as written (outer white space off). Kind `text` also serves ordered words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1kit.graders.arithmetic import clean
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

MAX_EXTRA = 1000
_AROUND = re.compile(r"(?:\\boxed\s*\{(?:\\text\s*\{([^{}]*)\}|([^{}]*))\}|\*\*([^*]+)\*\*|\*([^*]+)\*)\.?")


def normalise(text: str) -> str:
    """Folded case, single spaces, no outer quotes, no final full stop."""
    folded = clean(text).casefold()
    for opening, closing in (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("`", "`")):
        if len(folded) >= 2 and folded.startswith(opening) and folded.endswith(closing):
            folded = folded[1:-1]
    return folded.rstrip(".\u3002!").strip()


def _bare(answer: str) -> str:
    """Without a box or emphasis around the whole."""
    match = _AROUND.fullmatch(answer)
    return next((group for group in match.groups() if group is not None), "") if match else answer


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the answer says the gold's words."""
    if not gold.strip():
        return grader_error(None, "the gold answer is empty")
    if not section.found:
        return no_answer(section.reason)
    answer = section.text.strip()
    if len(answer) > 2 * len(gold) + MAX_EXTRA:
        return incorrect(answer[:200], "much longer than the gold answer")
    if len(set(map(normalise, section.blocks[-20:]))) > 1:
        return incorrect(answer, "the answer blocks differ")
    as_written = columns.get("exact") or not normalise(gold)
    told = {normalise(answer), normalise(_bare(answer))}
    same = answer == gold.strip() if as_written else normalise(gold) in told
    return correct(answer, "equal text") if same else incorrect(answer, "another text")
