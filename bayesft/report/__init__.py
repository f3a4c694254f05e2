"""Curves and trials as tables and figures."""

from bayesft.report.figures import draw_curves
from bayesft.report.tables import curve_table, difference_line, show

__all__ = ["curve_table", "difference_line", "draw_curves", "show"]
