"""Notebooks executed, and a run's one-file report. What a notebook shows is made by the modules of this package."""

from bmtlib.report.build import build_report, build_reports
from bmtlib.report.execute import execute

__all__ = ["build_report", "build_reports", "execute"]
