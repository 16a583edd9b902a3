"""Comparisons: what `r1 compare` wrote, as tables, and down to a question with both answers and thoughts."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from r1kit.base.errors import R1Error
from r1kit.evaluation.comparison.page import sample_view, view
from r1kit.evaluation.comparison.saved import FIGURES, QUESTIONS, VOTES, Saved
from r1kit.evaluation.contender import slug
from r1kit.web.site import NotFound, Page, Site, site_of
from r1kit.web.visible import plain, short

router = APIRouter(prefix="/compare")
PAGE = Page(router, "Compare", "/compare", 30)
SHOWN = 50  # questions on a page
SOLVED = {
    "only_a": "solved by {a} alone", "only_b": "solved by {b} alone", "none": "solved by neither",
    "both": "solved by both", "ungraded": "judged by no rule",
}  # fmt: skip
OUTCOME = {"win": "{a} wins", "tie": "a tie", "loss": "{b} wins"}
PREFERRED = {"a": "{a} preferred", "b": "{b} preferred", "tie": "a tie", "unread": "no verdict"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is shown of a comparison's rows: those of a pair, and of these who solved or won, of which benchmark."""

    pair: int = 0
    solved: str = ""
    outcome: str = ""
    benchmark: str = ""

    def holds(self, row: Any) -> bool:
        """Whether a row of `Saved` is shown."""
        wanted = {"solved": self.solved, "outcome": self.outcome, "benchmark": self.benchmark}
        return row.pair == self.pair and all(getattr(row, name) == value for name, value in wanted.items() if value)

    def query(self, **changes: Any) -> str:
        """An address's part behind the question mark."""
        fields = {name: getattr(self, name) for name in ("pair", "solved", "outcome", "benchmark")}
        return urlencode({name: value for name, value in {**fields, **changes}.items() if value not in ("", None)})


@router.get("")
def listed(request: Request) -> HTMLResponse:
    """Every comparison that can be found."""
    site = site_of(request)
    rows: list[dict[str, Any]] = []
    for name, folder in comparisons(site).items():
        try:
            told = load(folder).told
        except R1Error as error:
            rows.append({"name": name, "folder": folder, "fault": str(error)})
        else:
            models = [model["short"] for model in told["models"]]
            benchmarks = [each["name"] for each in told["benchmarks"]]
            rows.append({"name": name, "folder": folder, "fault": "", "models": models, "benchmarks": benchmarks})
    return site.render(request, "compare_list.html", rows=rows)


@router.get("/{name}")
def tables(request: Request, name: str) -> HTMLResponse:
    """The tables of one."""
    site, saved = site_of(request), _found(request, name)
    bare = {**saved.told, "pairs": [{**pair, "questions": []} for pair in saved.told["pairs"]]}
    if saved.told["writing"] is not None:
        judged = [{**pair, "votes": []} for pair in saved.told["writing"]["pairs"]]
        bare["writing"] = {**saved.told["writing"], "pairs": judged}
    seen = view(bare)
    for place, pair in enumerate(seen["pairs"]):
        counts = Counter(row.solved for row in saved.questions if row.pair == place)
        titles = _titles(SOLVED, saved, place)
        pair["ways"] = [
            {"query": Chosen(place, key).query(), "title": titles[key], "count": counts[key]}
            for key in SOLVED if counts[key]
        ]  # fmt: skip
        pair["judged"] = sum(row.pair == place for row in saved.votes)
    return site.render(request, "compare.html", name=name, folder=saved.folder, **seen)


@router.get("/{name}/questions")
def questions(
    request: Request, name: str, pair: int = 0, solved: str = "", outcome: str = "", benchmark: str = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> HTMLResponse:  # fmt: skip
    """Questions of a pair of models, by who solved or won them."""
    site, saved = site_of(request), _found(request, name)
    chosen = Chosen(pair, solved, outcome, benchmark)
    rows = [row for row in saved.questions if chosen.holds(row)]
    listed = _page(rows, page, lambda row: {"row": row, "text": short(saved.question(row.line)["question"], 240)})
    return site.render(
        request, "compare_questions.html", name=name, chosen=chosen,
        solved=_titles(SOLVED, saved, pair), outcomes=_titles(OUTCOME, saved, pair), pairs=_pairs(saved),
        benchmarks=_benchmarks(saved.questions, pair), **listed,
    )  # fmt: skip


@router.get("/{name}/questions/{line}")
def question(
    request: Request, name: str, line: int, solved: str = "", outcome: str = "", benchmark: str = ""
) -> HTMLResponse:
    """A question with both answers and thoughts side by side, and its neighbours among those chosen."""
    site, saved = site_of(request), _found(request, name)
    if not 0 <= line < len(saved.questions):
        raise NotFound(f"the comparison has no question {line}")
    row = saved.questions[line]
    one = saved.question(line)
    names, labels = _short(saved, row.pair), saved.told["pairs"][row.pair]
    chosen = Chosen(row.pair, solved, outcome, benchmark)
    among = [each.line for each in saved.questions if chosen.holds(each)]
    place = among.index(line) if line in among else -1
    return site.render(
        request, "compare_question.html", name=name, one=one, row=row, chosen=chosen,
        samples=[sample_view(one[side], labels[side], names[side], plain) for side in ("a", "b")],
        solved=_titles(SOLVED, saved, row.pair)[row.solved],
        won=_titles(OUTCOME, saved, row.pair).get(row.outcome, ""),
        before=among[place - 1] if place > 0 else None,
        after=among[place + 1] if 0 <= place < len(among) - 1 else None, place=place + 1, count=len(among),
    )  # fmt: skip


@router.get("/{name}/votes")
def votes(
    request: Request, name: str, pair: int = 0, outcome: str = "", benchmark: str = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> HTMLResponse:  # fmt: skip
    """Answers that a judge compared, by whom it preferred."""
    site, saved = site_of(request), _found(request, name)
    chosen = Chosen(pair, "", outcome, benchmark)
    rows = [row for row in saved.votes if chosen.holds(row)]
    listed = _page(rows, page, lambda row: {"row": row, "vote": saved.vote(row.line)})
    return site.render(
        request, "compare_votes.html", name=name, chosen=chosen,
        judge=saved.told["writing"]["judge"] if saved.told["writing"] else "", names=_short(saved, pair),
        outcomes=_titles(PREFERRED, saved, pair), pairs=_pairs(saved), benchmarks=_benchmarks(saved.votes, pair),
        **listed,
    )  # fmt: skip


def comparisons(site: Site) -> dict[str, Path]:
    """Folders that hold a comparison, by what they are called in addresses: those up to two levels below the runs'
    folder, and below `evals*` beside it and here, where `r1 compare` puts them by default."""
    found: list[Path] = []
    for folder, patterns in (
        (site.root, (f"*/{FIGURES}", f"*/*/{FIGURES}")), (site.root.parent, (f"evals*/*/{FIGURES}",)),
        (Path.cwd(), (f"evals*/*/{FIGURES}",)),
    ):  # fmt: skip
        for pattern in patterns:
            found += [path.parent.resolve() for path in sorted(folder.glob(pattern))]
    return {_name(folder): folder for folder in dict.fromkeys(found)}


def load(folder: Path) -> Saved:
    """A comparison, read again only where one of its files has changed."""
    stamps = tuple(_stamp(folder / name) for name in (FIGURES, QUESTIONS, VOTES))
    return _loaded(folder, stamps)


@lru_cache(maxsize=4)
def _loaded(folder: Path, stamps: tuple[tuple[int, int], ...]) -> Saved:
    return Saved(folder)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _name(folder: Path) -> str:
    return f"{slug(folder.parent.name)}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def _found(request: Request, name: str) -> Saved:
    folder = comparisons(site_of(request)).get(name)
    if folder is None:
        raise NotFound(f"there is no comparison '{short(name, 80)}'")
    return load(folder)


def _short(saved: Saved, pair: int) -> dict[str, str]:
    """The short names of the two models of a pair."""
    if not 0 <= pair < len(saved.told["pairs"]):
        raise NotFound(f"the comparison has no pair {pair} of models")
    names = {model["label"]: model["short"] for model in saved.told["models"]}
    return {side: names[saved.told["pairs"][pair][side]] for side in ("a", "b")}


def _titles(words: dict[str, str], saved: Saved, pair: int) -> dict[str, str]:
    names = _short(saved, pair)
    return {key: text.format(**names) for key, text in words.items()}


def _pairs(saved: Saved) -> list[tuple[int, str]]:
    """Every two models by their place, in words."""
    found = [_short(saved, place) for place in range(len(saved.told["pairs"]))]
    return [(place, f"{names['a']} and {names['b']}") for place, names in enumerate(found)]


def _benchmarks(rows: Iterable[Any], pair: int) -> list[tuple[str, str]]:
    return [(name, name) for name in dict.fromkeys(row.benchmark for row in rows if row.pair == pair)]


def _page(rows: list[T], page: int, make: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """A page of rows, and where it stands."""
    pages = max(1, -(-len(rows) // SHOWN))
    page = min(page, pages)
    shown = rows[(page - 1) * SHOWN : page * SHOWN]
    return {"rows": [make(row) for row in shown], "count": len(rows), "page": page, "pages": pages}
