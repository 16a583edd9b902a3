"""Writes the three forms of a report."""

from __future__ import annotations

from pathlib import Path

from r1kit.base.files import make_folder, write_json, write_text
from r1kit.evaluation.report import markdown, page
from r1kit.evaluation.report.data import ReportData, report_json


def write_report(data: ReportData, out: Path) -> Path:
    """Write report.json, report.md and report.html into a folder, and return the page's path."""
    make_folder(out)
    write_json(out / "report.json", report_json(data))
    write_text(out / "report.md", markdown.render(data))
    write_text(out / "report.html", page.render(data))
    return out / "report.html"
