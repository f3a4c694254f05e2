"""What a search has learnt, as lines for a terminal and as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesft.report.tables import short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesft.bo import Influence, Insight, Slice

_BLUE, _VERMILLION = "#0072B2", "#D55E00"


def insight_lines(insight: Insight, *, most: int = 12) -> list[str]:
    """Return the verdict and a small table of the dimensions, the most important first.

    Args:
        insight: of the search.
        most: rows of the table; the rest is counted.
    """
    fit, shown = insight.calibration, insight.influences[:most]
    width = max(len(influence.name) for influence in shown)
    lines = [
        f"The fit: {insight.verdict}. Left-out trials: rank correlation "
        f"{fit.rank_correlation:.2f}, R² {fit.r2:.2f}, {100 * fit.within:.0f} % within 95 %",
        f"{'':{width}}  importance            effect on the value",
    ]
    for influence in shown:
        effect = f"{short_number(influence.effect)} ± {short_number(influence.effect_sd)}"
        lines.append(f"{influence.name:{width}}  {_importance(influence):<20}  {effect}")
    if len(insight.influences) > most:
        lines.append(f"and {len(insight.influences) - most} that matter less")
    if insight.step:
        size, more = short_number(abs(insight.step)), "more" if insight.step > 0 else "less"
        lines.append(f"Trials from scratch give {size} {more} than those from another's weights")
    return lines


def draw_insight(
    insight: Insight, path: str | Path, *, title: str = "", value: str = "value"
) -> None:
    """Write a figure of each dimension's slice, and of how well the process predicts.

    A slice is the posterior along one dimension through the best trial (the diamond):
    the mean, with a band of two standard deviations. The grey dots are all trials,
    which lie beside the slice in the other dimensions. The most important dimension
    comes first. The last panel has each trial's value against its prediction from all
    others, with two standard deviations; the verdict is below.

    Args:
        insight: of the search.
        path: of the file; its ending names the format.
        title: above the panels; by default what they are.
        value: the label of the vertical axes.
    """
    from matplotlib.figure import Figure

    count = len(insight.influences) + 1
    columns = 2 if count in (2, 4) else 3 if count <= 9 else 4 if count <= 12 else 6
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3 * columns if columns < 6 else 15, 2.5 * rows + 0.6))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    limits = _limits(insight)
    for index, influence in enumerate(insight.influences):
        _draw_slice(panels[index], influence, insight)
        panels[index].set_ylim(limits)
        panels[index].tick_params(labelleft=index % columns == 0)
        if index % columns == 0:
            panels[index].set_ylabel(value, fontsize=9)
    # The fit comes last of all, its axis on the right, where it pushes no panel aside.
    for panel in [*panels[: count - 1], panels[-1]]:
        panel.grid(color="0.92")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    _draw_predictions(panels[-1], insight)
    for panel in panels[count - 1 : -1]:
        panel.set_visible(False)
    title = title or f"Importance, and slices through trial {insight.best.number}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    colour = "0.3" if insight.doubt is None else _VERMILLION
    verdict = f"The fit: {insight.verdict}."
    figure.supxlabel(verdict, x=0.01, ha="left", fontsize=9, color=colour, wrap=True)
    figure.savefig(path, dpi=160)


def short_name(name: str) -> str:
    """Return `fc1` of `model.dropout[fc1]`, and `lr` of `optimizer.lr`."""
    if name.endswith("]"):
        return name[name.index("[") + 1 : -1]
    return name.lstrip("+").rsplit(".", 1)[-1]


def _end_of(name: str, limit: int = 26) -> str:
    # The last words of a path tell the most.
    return name if len(name) <= limit else f"…{name[1 - limit :]}"


def _importance(influence: Influence) -> str:
    if influence.importance is None or influence.interval is None:
        # Of the progress of a search.
        return ""
    low, high = (100 * share for share in influence.interval)
    return f"{100 * influence.importance:.0f} % ({low:.0f} to {high:.0f} %)"


def _limits(insight: Insight) -> tuple[float, float]:
    """Return one range for all slices. Bands may leave it: no trial was so good or so bad."""
    numbers = [trial.value for trial in insight.trials]
    for influence in insight.influences:
        numbers += influence.slice.means
    margin = 0.06 * (max(numbers) - min(numbers))
    return min(numbers) - margin, max(numbers) + margin


def _draw_slice(axes: Axes, influence: Influence, insight: Insight) -> None:
    line, name = influence.slice, influence.name
    places = _places(line, line.values)
    low = [mean - 2 * sd for mean, sd in zip(line.means, line.sds, strict=True)]
    high = [mean + 2 * sd for mean, sd in zip(line.means, line.sds, strict=True)]
    if line.scale == "choices":
        axes.vlines(places, low, high, color=_BLUE, alpha=0.3, linewidth=6)
        axes.plot(places, line.means, "_", color=_BLUE, markersize=12, markeredgewidth=2)
        axes.set_xticks(places, [str(choice)[:12] for choice in line.values])
        axes.set_xlim(-0.5, len(places) - 0.5)
    else:
        axes.set_xscale(line.scale)
        if line.scale == "linear" and all(isinstance(each, int) for each in line.values):
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.fill_between(places, low, high, color=_BLUE, alpha=0.2, linewidth=0)
        axes.plot(places, line.means, color=_BLUE)
    points = _places(line, [trial.params[name] for trial in insight.trials])
    values = [trial.value for trial in insight.trials]
    axes.scatter(points, values, s=10, color="0.6", linewidth=0, zorder=2.5)
    best = insight.best
    axes.plot(_places(line, [best.params[name]]), [best.value], "D", color=_VERMILLION, ms=5)
    title = f"{_end_of(short_name(name))}\n{_importance(influence)}"
    axes.set_title(title, loc="left", fontsize=9)


def _draw_predictions(axes: Axes, insight: Insight) -> None:
    fit = insight.calibration
    margins = [2 * sd for sd in fit.sds]
    axes.errorbar(
        fit.predicted, fit.observed, xerr=margins, fmt="o", ms=3.5, color="0.25", ecolor="0.75"
    )
    ends = [min(fit.observed), max(fit.observed)]
    axes.plot(ends, ends, color=_VERMILLION, linewidth=1)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.spines[["left", "right"]].set_visible(False)
    axes.set_xlabel("predicted by the others", fontsize=8)
    axes.set_ylabel("observed", fontsize=8)
    title = f"each left out\nrank correlation {fit.rank_correlation:.2f}"
    axes.set_title(title, loc="left", fontsize=9)


def _places(line: Slice, values: Sequence[Any]) -> list[Any]:
    """Return where values lie on the axis: choices side by side."""
    if line.scale != "choices":
        return list(values)
    # Equality alone would take True for 1.
    keys = [repr(choice) for choice in line.values]
    return [keys.index(repr(value)) for value in values]
