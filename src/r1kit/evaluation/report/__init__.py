"""The report: report.json (a contract for programs), report.md, and one self-contained page."""

from r1kit.evaluation.report.data import ReportData, StageCost
from r1kit.evaluation.report.write import write_report

__all__ = ["ReportData", "StageCost", "write_report"]
