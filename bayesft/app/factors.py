"""The report of a factor study, when its trainings have ended."""

from pathlib import Path

from bayesft.app.multirun import StudyReport
from bayesft.report.factors import report_factors


class FactorReport(StudyReport):
    """Reports on a multirun of `experiment=factors` when it ends; see `bayesft.report.factors`."""

    nodes = ("factor", "baseline")

    def report(self, folder: Path) -> bool:
        return bool(report_factors(folder).missing)
