"""Notebooks executed, and a run's one-file report. What a notebook shows is made by the modules of this package."""

from bmtlib.report.build import build_report, build_reports, current_reports
from bmtlib.report.execute import execute
from bmtlib.report.pdf import print_page

__all__ = ["build_report", "build_reports", "current_reports", "execute", "print_page"]
