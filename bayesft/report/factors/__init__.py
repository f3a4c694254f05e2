"""A factor study: networks that differ from one baseline in one thing, over several seeds.

`runs` reads a folder, `study` holds what can be said of it, and `text` and `figure` say
it; `folder` puts these together.
"""

from bayesft.report.factors.folder import report_factors
from bayesft.report.factors.runs import is_study
from bayesft.report.factors.study import Study

__all__ = ["Study", "is_study", "report_factors"]
