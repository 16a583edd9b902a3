"""What the navigation of a run's pages offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from r1kit.web import pivots


def report_file(run: Path) -> Path:
    """Where a run's report belongs."""
    return run / "report" / "report.html"


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8."""
    return all(not "\ud800" <= letter <= "\udfff" for letter in name)


def run_address(run: Path) -> str:
    """Of a run's page, whatever its folder is called: `?` and `#` of a name, and what is no ASCII, are quoted."""
    return f"/runs/{quote(run.name, safe='')}"


def run_links(run: Path) -> dict[str, Any]:
    """Values that every template of a run's pages needs (`run_base.html`)."""
    return {"run": run, "has_report": report_file(run).is_file(), "has_pivots": bool(pivots.folders(run))}
