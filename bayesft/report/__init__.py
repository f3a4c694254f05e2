"""Curves and trials as tables and figures."""

from bayesft.report.figures import draw_curves
from bayesft.report.insights import draw_insight, insight_lines
from bayesft.report.tables import curve_table, difference_line, show

__all__ = [
    "curve_table",
    "difference_line",
    "draw_curves",
    "draw_insight",
    "insight_lines",
    "show",
]
