"""The figures of a comparison: the curves, and their differences from the baseline."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bayesft.report.axes import show_scores
from bayesft.report.compare.comparison import Comparison
from bayesft.report.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The first is the baseline's. On paper, and on a dark screen.
COLOURS = (
    ("#101114", "#f4f4f2"), ("#0072b2", "#5cb3f0"), ("#d55e00", "#ff8f45"), ("#009e73", "#2dd4a4"),
    ("#b5468b", "#ec95c8"), ("#967200", "#f0c93c"), ("#6246b0", "#ac98f7"), ("#7b4a22", "#cf9f70"),
    ("#6a7280", "#a5adba"), ("#c2185b", "#ff7aa5"), ("#0e7c86", "#4fd8e2"), ("#7a9a01", "#c5e45a"),
)  # fmt: skip
# Matplotlib's markers, and what looks like them in a text.
MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"))

# The page's colours of text and lines take the places of these.
_INK, _LINE = "#010203", "#040506"


def look(number: int) -> tuple[int, str, str]:
    """Return the index of a contender's colour, its marker, and the sign that looks like it."""
    marker, sign = MARKERS[number % len(MARKERS)]
    return number % len(COLOURS), marker, sign


def draw_comparison(comparison: Comparison, path: str | Path, *, title: str = "") -> None:
    """Write a figure of the score against sigma, and of the differences from the baseline.

    Bands and bars are ± one standard error, as `Comparison` has them.

    Args:
        comparison: what to draw.
        path: of the file; its ending names the format.
        title: above the panels.
    """
    from matplotlib.figure import Figure

    panels = 2 if comparison.rivals else 1
    figure = Figure(figsize=(5.2 * panels + 1.6, 4.2), layout="constrained")
    left, *right = figure.subplots(1, panels, squeeze=False)[0]
    _curves(left, comparison)
    for axes in right:
        _differences(axes, comparison)
    for axes in (left, *right):
        _dress(axes, "#000000", "#e5e5e5")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=160)


def curves_svg(comparison: Comparison) -> str:
    """Return the curves as an `<svg>` for a page that has `--c0`, `--ink`, `--line`."""
    return _svg(comparison, _curves)


def differences_svg(comparison: Comparison) -> str:
    """Return the differences from the baseline in the same way."""
    return _svg(comparison, _differences)


def _svg(comparison: Comparison, draw: Callable[[Axes, Comparison], None]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Letters stay letters, in the page's own type; the same curves give the same text.
    settings = {"svg.fonttype": "none", "svg.hashsalt": draw.__name__, "font.size": 9}
    with rc_context(settings):
        figure = Figure(figsize=(4.3, 3.4), layout="constrained")
        axes = figure.subplots()
        draw(axes, comparison)
        _dress(axes, _INK, _LINE)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # A page has its own head; these would name other sites.
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    places = {_INK: "ink", _LINE: "line"}
    places |= {light: f"c{number}" for number, (light, _) in enumerate(COLOURS)}
    for colour, name in places.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    # Shapes that are used again are known by name, to all figures of a page.
    own = draw.__name__.strip("_")
    drawn = re.sub(r'( id="|href="#|url\(#)', rf"\1{own}-", drawn)
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", drawn, count=1)


def _curves(axes: Axes, comparison: Comparison) -> None:
    sigmas = comparison.measured_sigmas
    for number, name in enumerate(comparison.contenders):
        points = [comparison.at(name, sigma) for sigma in sigmas]
        colour, marker, _ = look(number)
        _line(axes, sigmas, points, COLOURS[colour][0], marker, name)
    show_scores(axes)
    axes.set_ylabel(f"test {comparison.title}")


def _differences(axes: Axes, comparison: Comparison) -> None:
    sigmas = comparison.measured_sigmas
    axes.axhline(0, color=COLOURS[0][0], linewidth=1.3)
    for number, name in enumerate(comparison.contenders):
        if name in comparison.rivals:
            points = [comparison.difference(name, sigma) for sigma in sigmas]
            colour, marker, _ = look(number)
            _line(axes, sigmas, points, COLOURS[colour][0], marker, name)
    axes.set_ylabel(f"difference from {comparison.baseline}")


def _line(
    axes: Axes,
    sigmas: Iterable[float],
    points: Iterable[Estimate],
    colour: str,
    marker: str,
    name: str,
) -> None:
    points = list(points)
    # NaN, and so no band, where one draw alone was made.
    lower = [point.value - point.stderr for point in points]
    upper = [point.value + point.stderr for point in points]
    axes.fill_between(sigmas, lower, upper, color=colour, alpha=0.18, linewidth=0)
    values = [point.value for point in points]
    axes.plot(sigmas, values, color=colour, marker=marker, markersize=4.5, lw=1.4, label=name)


def _dress(axes: Axes, ink: str, line: str) -> None:
    axes.set_xlabel("σ of the drift")
    axes.grid(color=line)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    axes.tick_params(colors=ink)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(ink)
