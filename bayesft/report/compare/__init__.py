"""A comparison of contenders: ways to train that meet the same data, seeds and chips.

`runs` reads a folder, `comparison` holds what can be said of it, and `text`, `figure` and
`page` say it; `folder` puts these together. `plan` is what was to be compared.
"""

from bayesft.report.compare.comparison import Comparison
from bayesft.report.compare.fair import MixedRunsError
from bayesft.report.compare.folder import report_comparison
from bayesft.report.compare.plan import Plan
from bayesft.report.compare.runs import is_comparison

__all__ = ["Comparison", "MixedRunsError", "Plan", "is_comparison", "report_comparison"]
