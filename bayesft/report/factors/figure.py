"""The figure of a factor study: a panel per factor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from bayesft.report.axes import show_scores
from bayesft.report.factors.study import BASELINE, Setting, Study, level_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which stay apart for the colour-blind; black is the baseline.
_BASELINE = "#000000"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("s", "^", "D", "v", "P", "X")


def draw_factors(study: Study, path: str | Path, *, title: str = "") -> None:
    """Write a figure with a panel per factor: the score against sigma, a line per level.

    The black line is the baseline, the same in each panel. Bands are ± one standard error
    over seeds; one seed has none. The legend has the mean over the score's sigmas.

    Args:
        study: with at least one factor that was varied.
        path: of the file; its ending names the format.
        title: above the panels.
    """
    from matplotlib.figure import Figure

    factors = study.factors
    columns = min(2, len(factors))
    rows = math.ceil(len(factors) / columns)
    figure = Figure(figsize=(4.6 * columns, 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, factor in zip(panels, factors, strict=False):
        _draw(axes, study, factor)
    for axes in panels[len(factors) :]:
        axes.set_visible(False)
        # The panel above has to bear what stands below this one.
        above = panels[panels.index(axes) - columns]
        above.tick_params(labelbottom=True)
        above.set_xlabel("σ of the drift")
    for axes in grid[-1]:
        axes.set_xlabel("σ of the drift")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"test {study.title}")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.savefig(path, dpi=160)


def _draw(axes: Axes, study: Study, factor: str) -> None:
    _line(axes, study, BASELINE, level_name(study.baseline[factor]), _BASELINE, "o")
    for number, setting in enumerate(study.settings_of(factor)):
        colour = _COLOURS[number % len(_COLOURS)]
        marker = _MARKERS[number % len(_MARKERS)]
        _line(axes, study, setting, level_name(setting[0][1]), colour, marker)
    axes.set_title(factor, loc="left", fontsize=11)
    show_scores(axes)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    # Where curves that fall from the left above never are.
    axes.legend(frameon=False, fontsize=8, loc="lower left", title="level: mean", title_fontsize=8)


def _line(axes: Axes, study: Study, setting: Setting, name: str, colour: str, marker: str) -> None:
    sigmas = study.measured_sigmas()
    points = [study.at(setting, sigma) for sigma in sigmas]
    # NaN for one seed, where no band is drawn.
    lower = [point.value - point.stderr for point in points]
    upper = [point.value + point.stderr for point in points]
    axes.fill_between(sigmas, lower, upper, color=colour, alpha=0.2, linewidth=0)
    mean = study.mean(setting)
    error = "" if math.isnan(mean.stderr) else f" ± {mean.stderr:.3f}"
    axes.plot(
        sigmas,
        [point.value for point in points],
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1.3,
        label=f"{name}: {mean.value:.3f}{error}",
    )
