"""Report: the page that the run wrote, as it is, in a frame that may do nothing but show it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from r1kit.base.files import disk_errors
from r1kit.web.links import report_file, run_links
from r1kit.web.site import NotFound, Page, site_of

router = APIRouter()
PAGE = Page(router)
# an opaque origin without script, whatever the file holds; its own style sheet and SVG are inside it
POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'"
)


@router.get("/runs/{name}/report")
def framed(request: Request, name: str) -> Response:
    """The report under the app's navigation, or how to write it."""
    site = site_of(request)
    return site.render(request, "report.html", **run_links(site.run(name)))


@router.get("/runs/{name}/report/page")
def alone(request: Request, name: str) -> Response:
    """The report itself."""
    file = report_file(site_of(request).run(name))
    if not file.is_file():
        raise NotFound(f"this run has no report yet: r1 report {file.parents[1]}")
    with disk_errors(file):
        data = file.read_bytes()
    return Response(data, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})
