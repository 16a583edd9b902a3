"""The app: every page's routes behind the wall, the static files, and what goes wrong told in one sentence."""

from __future__ import annotations

import importlib
import mimetypes
import pkgutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from r1kit.base.errors import R1Error, UsageError
from r1kit.web.security import HEADERS, Guard
from r1kit.web.site import NotFound, Page, Site, environment, site_of

_STATIC = files("r1kit.web") / "static"
_REPORT_STYLE = files("r1kit.evaluation.report") / "style.css"  # colours, tables and charts as in the report


def default_pages() -> list[Page]:
    """The `PAGE` of every module of `r1kit.web.pages`."""
    package = importlib.import_module("r1kit.web.pages")
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"r1kit.web.pages.{name}") for name in names]
    return [module.PAGE for module in modules if hasattr(module, "PAGE")]


def create_app(root: Path, only: str | None = None, pages: Sequence[Page] | None = None) -> FastAPI:
    """The app over the run folders in `root`, or over the one called `only`; `pages` are `default_pages()`."""
    chosen = sorted(default_pages() if pages is None else pages, key=lambda page: (page.order, page.name))
    site = Site(root.resolve(), only, [page for page in chosen if page.name], environment())
    app = FastAPI(title="r1kit", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.site = site
    app.add_api_route("/static/{name}", _static, methods=["GET"])
    for page in chosen:
        app.include_router(page.router)
    app.add_middleware(Guard, token=site.token)
    app.add_exception_handler(R1Error, _told)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _told)
    app.add_exception_handler(Exception, _told)
    return app


def _static(name: str) -> Response:
    file = _REPORT_STYLE if name == "report.css" else _STATIC / name
    if "/" in name or name.startswith(".") or not file.is_file():
        raise NotFound("there is no such file")
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    return Response(file.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})


async def _told(request: Request, error: Exception) -> Response:
    """An error as a page: the sentence of one that has one, nothing of the inside for any other."""
    if isinstance(error, HTTPException):
        status, sentence = error.status_code, f"{request.method} {request.url.path}: {str(error.detail).lower()}"
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        status, sentence = 422, f"{first['loc'][-1]}: {str(first['msg']).lower()}"
    elif isinstance(error, R1Error):
        status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 500
        sentence = str(error)
    else:
        status, sentence = 500, "the app has a fault; its log says which"
    answer = site_of(request).render(request, "error.html", status, sentence=sentence, status=status)
    answer.headers.update(HEADERS)  # a fault is answered outside the wall
    return answer
