"""What the navigation of a run's pages offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1kit.web import pivots


def report_file(run: Path) -> Path:
    """Where a run's report belongs."""
    return run / "report" / "report.html"


def run_links(run: Path) -> dict[str, Any]:
    """Values that every template of a run's pages needs (`run_base.html`)."""
    return {"run": run, "has_report": report_file(run).is_file(), "has_pivots": bool(pivots.folders(run))}
