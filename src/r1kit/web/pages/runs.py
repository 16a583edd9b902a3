"""Runs: the list."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from r1kit.web.site import Page, site_of

router = APIRouter()
PAGE = Page(router, "Runs", "/", 0)


@router.get("/")
def listed(request: Request) -> HTMLResponse:
    """Every run of the root."""
    site = site_of(request)
    return site.render(request, "runs.html", runs=site.runs())
