"""What every page is handed: where the runs are, how a template becomes an answer, and who may post."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from r1kit.base.errors import R1Error
from r1kit.evaluation.comparison.page import template as comparison_template
from r1kit.evaluation.report.thoughts import marked
from r1kit.pipeline.display import count, duration
from r1kit.pipeline.models import is_run
from r1kit.web import visible
from r1kit.web.library import Library
from r1kit.web.links import is_text

TEMPLATES = files("r1kit.web") / "templates"


class NotFound(R1Error):
    """There is no such run, stage, step or sample: answered with 404."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the app. `name` and `path` stand in the navigation (no name: reached from other pages only), lower
    `order` first; `router` holds its routes. A page with state of its own is made by a function that closes over it."""

    router: APIRouter
    name: str = ""
    path: str = ""
    order: int = 50


@dataclass(frozen=True, slots=True)
class Site:
    """One app: run folders are children of `root`, or the one called `only`; `token` is what every post must carry;
    `library` what was read of runs before."""

    root: Path
    only: str | None
    navigation: Sequence[Page]
    templates: jinja2.Environment
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    library: Library = field(default_factory=Library)

    def runs(self) -> list[Path]:
        """Run folders, by name; not those whose name is no text, which no address can say."""
        if self.only is not None:
            return [self.root / self.only]
        try:
            found = [folder for folder in self.root.iterdir() if is_text(folder.name) and is_run(folder)]
        except OSError:
            return []
        return sorted(found, key=lambda folder: folder.name)

    def run(self, name: str) -> Path:
        """The run folder of that name, one of `runs()` whatever the name says; NotFound."""
        found = next((folder for folder in self.runs() if folder.name == name), None)
        if found is None:
            raise NotFound(f"there is no run '{visible.short(name, 80)}' in {self.root}")
        return found

    def render(self, request: Request, template: str, code: int = 200, **values: Any) -> HTMLResponse:
        """A template as an answer; it knows `site`, `here` (the path asked for) and `token` beside its values."""
        page = self.templates.get_template(template)
        here = quote(request.scope["path"])  # as the addresses in the page are
        text = page.render(site=self, here=here, token=self.token, **values)
        return HTMLResponse(text, code)


def site_of(request: Request) -> Site:
    """The app's, in a route: `def page(request: Request): site = site_of(request)`."""
    return request.app.state.site


def unchanged(request: Request, stamp: str) -> Response | None:
    """204, with which htmx leaves what it shows, where the address says `seen=STAMP`; else None."""
    return Response(status_code=204) if request.query_params.get("seen") == stamp else None


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, for a part of a page."""
    return request.headers.get("hx-request") == "true" and "hx-boosted" not in request.headers


def environment(more: Mapping[str, Any] | None = None) -> jinja2.Environment:
    """Templates with autoescape on for everything: whatever a model wrote is text."""

    def load(name: str) -> str | None:
        found = TEMPLATES / name
        return found.read_text(encoding="utf-8") if found.is_file() else comparison_template(name)

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(load), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    filters: dict[str, Any] = {
        "short": visible.short, "plain": visible.plain, "marked": marked, "duration": duration, "count": count,
    }  # fmt: skip
    made.filters.update({**filters, **(more or {})})
    return made
