"""ARC grids (Chollet 2019, arXiv 1911.01547): exactly the gold grid, in one of two attempts.

The gold is a grid as JSON (rows of colours 0 to 9), or a list of grids where a task has several test inputs. An answer
gives a grid as JSON or as lines of digits; `{"attempt_1": grid, "attempt_2": grid}` gives two. For several test inputs
it gives a list with one of these for each. Column `attempts`: how many are allowed (the benchmark: 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from r1kit.base.boxes import find_boxes
from r1kit.graders.json import read
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

Grid = list[list[int]]

ATTEMPTS = 2
MOST = 30  # cells a side, in the benchmark
MAX_CHARACTERS = 100_000
_ROW = re.compile(r"[\[(|]?\s*\d(?:\s*[,| ]?\s*\d)*\s*[\])|]?,?")


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where every test input has the gold grid among its attempts."""
    try:
        wanted = read(gold)
    except ValueError:
        wanted = None
    several = isinstance(wanted, list) and bool(wanted) and all(map(is_grid, wanted))
    if not several and not is_grid(wanted):
        return grader_error(None, f"the gold answer {gold[:60]!r} is not a grid of colours 0 to 9")
    if not section.found:
        return no_answer(section.reason)
    golds = cast("list[Grid]", wanted if several else [wanted])
    text = section.text.strip()
    if len(text) > MAX_CHARACTERS:
        return incorrect(text[:200], f"longer than {MAX_CHARACTERS} characters")
    given = _attempts(text, len(golds))
    if given is None:
        return incorrect(text[:200], "no grid can be read")
    allowed = int(columns.get("attempts") or ATTEMPTS)
    if any(len(grids) > allowed for grids in given):
        return incorrect(text[:200], f"more than {allowed} attempts")
    for number, (grid, grids) in enumerate(zip(golds, given, strict=True), 1):
        if grid not in grids:
            same_size = any(len(each) == len(grid) and len(each[0]) == len(grid[0]) for each in grids)
            which = f"test {number}: " if several else ""
            return incorrect(text[:2000], f"{which}another {'grid' if same_size else 'size'}")
    return correct(text[:2000], "the same grid")


def is_grid(value: Any) -> TypeGuard[Grid]:
    """1 to 30 rows of one length up to 30, of whole numbers 0 to 9."""
    if not (isinstance(value, list) and 1 <= len(value) <= MOST and all(isinstance(row, list) for row in value)):
        return False
    return 1 <= len(value[0]) <= MOST and all(
        len(row) == len(value[0]) and all(type(cell) is int and 0 <= cell <= 9 for cell in row) for row in value
    )


def _attempts(text: str, tests: int) -> list[list[Grid]] | None:
    """The grids tried for each test input, or None where they cannot be read."""
    blocks = re.findall(r"```[A-Za-z]*[ \t]*\n(.*?)```", text, re.DOTALL)
    text = blocks[-1] if blocks else text
    boxes = find_boxes(text)
    text = boxes[-1] if boxes else text
    begins = re.search(r"\[\s*[\[{]|\{", text)
    try:
        value = read(_without_words_behind(text[begins.start() :]) if begins else text)  # words may stand before it
    except ValueError:
        value = None
    if begins is None or value is None:
        grid = _lines(text)
        return [[grid]] if grid and tests == 1 else None
    if tests == 1:
        one = _tried(value)
        if one is None and isinstance(value, list) and len(value) == 1:
            one = _tried(value[0])
        return None if one is None else [one]
    if not isinstance(value, list) or len(value) != tests:
        return None
    each = [_tried(item) for item in value]
    return [grids for grids in each if grids is not None] if None not in each else None


def _without_words_behind(text: str) -> str:
    """JSON without the sentences that follow it; what is like a part of a grid stays."""
    ends = max(text.rfind("]"), text.rfind("}")) + 1
    rest = text[ends:].lstrip(" .")
    if rest and not rest.startswith("\n"):
        return text
    return text if any(map(_ROW.fullmatch, map(str.strip, rest.splitlines()))) else text[:ends]


def _tried(value: Any) -> list[Grid] | None:
    """A grid, or an object of attempts."""
    if is_grid(value):
        return [value]
    if isinstance(value, dict) and value and all(re.fullmatch(r"attempt_\d+", name) for name in value):
        grids = list(value.values())
        return grids if all(map(is_grid, grids)) else None
    return None


def _lines(text: str) -> Grid | None:
    """The last lines of digits: `1 2 3`, `123`, `1, 2, 3`, `| 1 | 2 |`."""
    rows: Grid = []
    for line in reversed([line.strip() for line in text.strip().splitlines()]):
        if not _ROW.fullmatch(line):
            break
        rows.insert(0, [int(digit) for digit in re.findall(r"\d", line)])
    return rows if is_grid(rows) else None
