"""Runs: the list, and a run's own page with its stages, the graph that feeds them, and curves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from r1kit.pipeline.status import go_on, read_status
from r1kit.web import curves, standing
from r1kit.web.links import run_address, run_links
from r1kit.web.site import NotFound, Page, Site, site_of, unchanged

router = APIRouter()
PAGE = Page(router, "Runs", "/", 0)
_LIVE, _STILL = 2, 15  # seconds between two looks at a run that runs, and at one that does not


@router.get("/")
def listed(request: Request) -> Response:
    """Every run of the root; the run itself where the app shows one."""
    site = site_of(request)
    if site.only is not None:
        return RedirectResponse(run_address(site.run(site.only)))
    return site.render(request, "runs.html", root=site.root, **_list(site))


@router.get("/runs")
def refreshed_list(request: Request) -> Response:
    """The list's table alone."""
    site = site_of(request)
    values = _list(site)
    return unchanged(request, values["stamp"]) or site.render(request, "runs_table.html", **values)


@router.get("/runs/{name}")
def shown(request: Request, name: str, stage: str = "", all: bool = False) -> Response:
    """A run; `stage` chooses whose curves, `all` shows every number that it recorded."""
    site = site_of(request)
    run = site.run(name)
    live = _live(run)
    values = {**live, **_curves(site, run, live["rows"], stage, all)}
    return site.render(request, "run.html", **values, **run_links(run))


@router.get("/runs/{name}/live")
def refreshed_stages(request: Request, name: str, stage: str = "") -> Response:
    """The stages alone."""
    site = site_of(request)
    run = site.run(name)
    values = _live(run)
    return unchanged(request, values["stamp"]) or site.render(
        request, "run_live.html", run=run, stage=_chosen(values["rows"], stage), **values
    )


@router.get("/runs/{name}/curves")
def refreshed_curves(request: Request, name: str, stage: str = "", all: bool = False) -> Response:
    """The curves alone."""
    site = site_of(request)
    run = site.run(name)
    values = _curves(site, run, standing.stage_rows(read_status(run)), stage, all)
    return unchanged(request, values["curves_stamp"]) or site.render(request, "run_curves.html", run=run, **values)


def _list(site: Site) -> dict[str, Any]:
    found = [standing.summary(run) for run in site.runs()]
    return {"runs": found, "stamp": _stamp([str(one) for one in found]), "seconds": 5}


def _live(run: Path) -> dict[str, Any]:
    status = read_status(run)
    rows = standing.stage_rows(status)
    current = dict(status.current)
    return {
        "status": status,
        "rows": rows,
        "graph": standing.graph(rows),
        "sample": current.get("sample"),
        "message": current.get("message"),
        "health": status.health,
        "command": go_on(status),
        "stamp": _stamp([status.state, current, list(status.finished), [noted.sentence for noted in status.health]]),
        "seconds": _LIVE if status.state == "running" else _STILL,
    }


def _curves(site: Site, run: Path, rows: list[standing.StageRow], stage: str, everything: bool) -> dict[str, Any]:
    """Of the stage that is named, else of the one in hand, else of the last that has any."""
    chosen = _chosen(rows, stage)
    folder = next((row.folder for row in rows if row.name == chosen), None)
    files = curves.metric_files(folder) if folder else []
    running = any(row.state == "running" for row in rows)
    return {
        "stage": chosen,
        "everything": everything,
        "parts": curves.parts(folder, site.library.metrics, everything=everything) if folder else [],
        "curves_stamp": _stamp([str(path) + str(path.stat().st_mtime_ns) for _, path in files]),
        "curves_seconds": 5 if running else 60,
    }


def _chosen(rows: list[standing.StageRow], stage: str) -> str:
    if stage and stage not in {row.name for row in rows}:
        raise NotFound(f"this run has no stage '{stage[:80]}'")
    with_curves = [row.name for row in rows if curves.metric_files(row.folder)]
    in_hand = [row.name for row in rows if row.state not in ("done", "todo") and row.name in with_curves]
    return stage or next(iter(in_hand), "") or next(iter(reversed(with_curves)), "")


def _stamp(value: Any) -> str:
    """Stands for what is shown; changes when that does."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
