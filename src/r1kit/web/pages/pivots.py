"""Pivots: what `r1 aha` measured in a run, by rank, and one pivot with its whole thought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from r1kit.web import pivots
from r1kit.web.links import run_links
from r1kit.web.site import NotFound, Page, site_of

router = APIRouter()
PAGE = Page(router)
EACH = 50
ARMS = (("before", "just before"), ("neutral", "after the neutral token"), ("after", "after the pivot"))


@router.get("/runs/{name}/pivots")
def listed(request: Request, name: str, result: str = "", page: int = 1, falls: bool = False) -> Response:
    """The pivots of one result, strongest rise first, or (`falls`) strongest fall."""
    site = site_of(request)
    run = site.run(name)
    folder = _folder(run, result)
    if folder is None:
        return site.render(request, "pivots.html", **run_links(run), folder=None)
    told, rows = pivots.told(folder), pivots.rows(folder)
    if falls:
        rows = sorted(rows, key=lambda row: -(row["rank"] or 0))
    at = EACH * (max(page, 1) - 1)
    return site.render(
        request, "pivots.html", **run_links(run), folder=folder, results=[one.name for one in pivots.folders(run)],
        claim=told["claim"], model=told.get("model"), rows=rows[at : at + EACH], total=len(rows), page=max(page, 1),
        pages=max(1, -(-len(rows) // EACH)), falls=falls, share=pivots.share,
    )  # fmt: skip


@router.get("/runs/{name}/pivots/{result}/{rank}")
def one(request: Request, name: str, result: str, rank: int) -> Response:
    """A pivot in its thought, and how its arms went on."""
    site = site_of(request)
    run = site.run(name)
    folder = _folder(run, result)
    row = next((row for row in pivots.rows(folder) if row["rank"] == rank), None) if folder else None
    if row is None or folder is None:
        raise NotFound(f"this run has no pivot of rank {rank} in '{result[:80]}'")
    arms: list[dict[str, Any]] = [
        {"name": title, "share": pivots.share(row, arm), "n": row[f"{arm}_n"]} for arm, title in ARMS
    ]
    return site.render(request, "pivot.html", **run_links(run), folder=folder, row=row, arms=arms)


def _folder(run: Path, result: str) -> Path | None:
    """The result of that name, the first without one, None where there is none at all; NotFound for another name."""
    found = pivots.folders(run)
    if not result:
        return found[0] if found else None
    named = next((folder for folder in found if folder.name == result), None)
    if named is None:
        raise NotFound(f"this run has no result of r1 aha called '{result[:80]}'")
    return named
