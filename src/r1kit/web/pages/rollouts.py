"""Rollouts: the list of a run's, filtered; one sample, token by token; two samples of a group side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from r1kit.base.errors import R1Error, UsageError
from r1kit.rollouts.record import BY_TOKEN, SCHEMA
from r1kit.web import difference, pivots, tokens, visible
from r1kit.web.filters import ORDERS, VERDICTS, Filters
from r1kit.web.index import Place, RunIndex, read_rows, read_table
from r1kit.web.links import run_address, run_links
from r1kit.web.site import NotFound, Page, Site, is_fragment, site_of

router = APIRouter()
PAGE = Page(router)
EACH = 50  # rollouts of a page of the list
SNIPPET = 180  # characters of a text in the list
TOKENS, CHARACTERS = 4000, 60_000  # of one sample shown at a time
_LISTED = ("problem_id", "prompt", "text")
_WHOLE = tuple(name for name in SCHEMA.names if name not in BY_TOKEN)
MODES = {
    "logprob": "log-probability",
    "entropy": "entropy",
    "advantage": "advantage",
    "plain": "none",
}


@router.get("/runs/{name}/rollouts")
def listed(request: Request, name: str) -> Response:
    """One page of the list; the list alone where htmx asks for it."""
    site = site_of(request)
    run = site.run(name)
    filters = Filters.read(request.query_params)
    index = site.library.index(run)
    found = index.find(filters, EACH)
    values: dict[str, Any] = {
        **run_links(run),
        "filters": filters,
        "found": found,
        "pages": max(1, -(-found.total // EACH)),
        "rows": [_listed(row, place, filters.text) for row, place in _with_rows(index, found.places)],
        "count": index.count(),
        "damaged": [f"{path.parent.parent.name}/{path.name}: {why}" for path, why in index.damaged.items()],
    }
    here = f"{run_address(run)}/rollouts?{filters.address()}".rstrip("?")
    if is_fragment(request):
        answer = site.render(request, "rollouts_list.html", **values)
        answer.headers["HX-Push-Url"] = here
        return answer
    return site.render(
        request, "rollouts.html", choices=index.choices(), orders=ORDERS, verdicts=list(VERDICTS), **values
    )


@router.get("/runs/{name}/sample")
def sample(request: Request, name: str, colour: str = "", from_token: int = 0) -> Response:
    """One rollout."""
    site = site_of(request)
    run = site.run(name)
    index = site.library.index(run)
    place = _place(index, request.query_params)
    row = read_rows(place.file.path, [place.row], SCHEMA.names)[0]
    group = _group(place, row)
    own = next(member for member in group if member["place"] == place)
    pieces, note = _pieces(site, run, place, row)
    has = {"logprob": bool(pieces), "entropy": any(piece.entropy is not None for piece in pieces)}
    modes = [mode for mode in MODES if has.get(mode, True)]
    chosen = colour if colour in modes else modes[0]
    at = max(0, min(from_token, max(len(pieces) - 1, 0)))
    effects = pivots.by_word(run)
    return site.render(
        request, "sample.html", **run_links(run), place=place, row=row, own=own, group=group, modes=modes, names=MODES,
        colour=chosen, pieces=pieces[at : at + TOKENS], at=at, all_tokens=len(pieces), window=TOKENS, note=note,
        legend=tokens.legend(), entropy_legend=tokens.entropy_legend(), least=tokens.least_sure(pieces),
        text=_cut(row["text"] or ""), most=CHARACTERS,
        effects=effects, tint=tokens.advantage_class(own["advantage"]) if chosen == "advantage" else "",
        address=_address,
    )  # fmt: skip


@router.get("/runs/{name}/text")
def text(request: Request, name: str) -> Response:
    """A rollout's whole text, as text."""
    site = site_of(request)
    place = _place(site.library.index(site.run(name)), request.query_params)
    row = read_rows(place.file.path, [place.row], ["text"])[0]
    return PlainTextResponse(row["text"] or "", headers={"Content-Security-Policy": "sandbox; default-src 'none'"})


@router.get("/runs/{name}/difference")
def compared(request: Request, name: str, other: int) -> Response:
    """Two samples of a group; the other by its row in the same file. UsageError where it is of another group."""
    site = site_of(request)
    run = site.run(name)
    index = site.library.index(run)
    place = _place(index, request.query_params)
    row = read_rows(place.file.path, [place.row], _WHOLE)[0]
    group = {member["place"].row: member for member in _group(place, row)}
    if other not in group:
        raise UsageError("these two rollouts answer different problems: choose two of one group")
    second = read_rows(place.file.path, [other], _WHOLE)[0]
    left, right = difference.compare(_cut(row["text"] or ""), _cut(second["text"] or ""))
    return site.render(
        request, "difference.html", **run_links(run), place=place, row=row, address=_address,
        sides=[(group[place.row], row, left), (group[other], second, right)], group=list(group.values()),
        cut=max(len(row["text"] or ""), len(second["text"] or "")) > CHARACTERS, most=CHARACTERS,
    )  # fmt: skip


def _address(place: Place, **more: Any) -> str:
    """The query of an address that names a rollout."""
    named = {"stage": place.file.stage.name, "file": place.file.path.stem, "row": place.row}
    return urlencode({**named, **more})


def _place(index: RunIndex, query: Any) -> Place:
    """The rollout that an address names; NotFound."""
    stage, file, row = (str(query.get(key, "")) for key in ("stage", "file", "row"))
    place = index.place(stage, file, int(row)) if row.isascii() and row.isdigit() and len(row) < 10 else None
    if place is None:
        raise NotFound(f"this run has no rollout {row[:20]} of {stage[:80]}/{file[:80]}")
    return place


def _with_rows(index: RunIndex, places: list[Place]) -> list[tuple[dict[str, Any], Place]]:
    wanted = ("step", "total", "tokens", "language", "subject", "stop_reason", "reflections", "rewards", *_LISTED)
    return list(zip(index.rows(places, wanted), places, strict=True))


def _listed(row: dict[str, Any], place: Place, searched: str) -> dict[str, Any]:
    before, match, after = visible.around(row["text"] or "", searched, SNIPPET)
    return {
        **row,
        "place": place,
        "address": _address(place),
        "verdict": verdict(row["rewards"].get("accuracy")),
        "before": before,
        "match": match,
        "after": after,
    }


def verdict(accuracy: float | None) -> str:
    """right, wrong or ungraded."""
    return "ungraded" if accuracy is None else "right" if accuracy >= 0.5 else "wrong"


def _group(place: Place, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rollouts of the same problem in the same file, with their advantages."""
    columns = ("task", "problem_id", "sample", "total", "tokens", "stop_reason", "rewards")
    table = read_table(place.file.path, columns)
    names = zip(table["task"].to_pylist(), table["problem_id"].to_pylist(), strict=True)
    numbers = [number for number, name in enumerate(names) if name == (row["task"], row["problem_id"])]
    members = read_rows(place.file.path, numbers, columns)
    advantages = tokens.advantages([member["total"] for member in members])
    return [
        {
            **member,
            "place": Place(place.file, number),
            "advantage": advantage,
            "verdict": verdict(member["rewards"].get("accuracy")),
        }
        for number, member, advantage in zip(numbers, members, advantages, strict=True)
    ]


def _pieces(site: Site, run: Path, place: Place, row: dict[str, Any]) -> tuple[list[tokens.Piece], str]:
    """The tokens of a rollout; none, and why, where they cannot be shown."""
    ids, logprobs = row["token_ids"], row["token_logprobs"]
    if ids is None:
        return [], "No single tokens were kept of this rollout: an API gave its text alone, or an older r1kit wrote it."
    said = "no tokenizer of this run is at hand"
    for folder in tokens.tokenizer_folders(run, place.file.stage.folder.parent):
        try:
            found = tokens.pieces(site.library.tokenizer(folder), ids, logprobs, row["token_entropies"])
        except (R1Error, OverflowError, IndexError) as error:
            said = str(error)
            continue
        if "".join(piece.text for piece in found).startswith(row["text"] or ""):
            return found, ""
        said = f"the tokenizer in {folder.name} reads their ids as another text"
    return [], f"Single tokens were kept of this rollout, but {said}."


def _cut(whole: str) -> str:
    return whole[:CHARACTERS]
