"""The report of a factor study, when its trainings have ended."""

from pathlib import Path

from bayesft.app.multirun import StudyReport
from bayesft.app.publish import Report
from bayesft.report.factors import report_factors
from bayesft.report.factors.folder import FIGURE
from bayesft.report.factors.text import settings_sheet


class FactorReport(StudyReport):
    """Reports on a multirun of `experiment=factors` when it ends; see `bayesft.report.factors`."""

    nodes = ("factor", "baseline")

    def report(self, folder: Path) -> Report:
        found = report_factors(folder)
        figures = {"factors": folder / FIGURE} if found.study.factors else {}
        sheets = {"settings": settings_sheet(found.study)}
        return Report("factors", bool(found.missing), sheets, figures)
