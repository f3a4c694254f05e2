"""Figures for a file."""

from collections.abc import Mapping
from pathlib import Path

from bayesft.report.axes import show_scores
from bayesft.robustness import Curve

# Colours that stay apart for the colour-blind and in grey print (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def draw_curves(
    curves: Mapping[str, Curve],
    path: str | Path,
    *,
    title: str = "",
    score: str = "accuracy",
) -> None:
    """Write a figure of the score against sigma.

    Each curve has its mean, the 95 % interval for it (`CurvePoint.interval`) and, thin and
    dashed, the 5 % quantile: of the chips, where it is known what images add to a draw's score.

    Args:
        curves: by name, in the order of the legend.
        path: of the file; its ending names the format.
        title: above the axes.
        score: the label of the vertical axis.
    """
    # Matplotlib takes a second to import, and most of those who import this package
    # draw nothing. The class and not pyplot: no display, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, curve), colour in zip(curves.items(), _cycle(len(curves)), strict=True):
        sigmas = curve.sigmas
        means = [point.mean for point in curve.points]
        lower, upper = zip(*(point.interval() for point in curve.points), strict=True)
        low = [point.quantile05 for point in curve.points]
        axes.fill_between(sigmas, lower, upper, color=colour, alpha=0.2, linewidth=0)
        axes.plot(sigmas, means, color=colour, marker="o", markersize=4, label=name)
        axes.plot(sigmas, low, color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    # Of a score of whole batches nobody can tell what their images add to it.
    known = all(
        p.image_variance >= 0 or p.sigma == 0 for curve in curves.values() for p in curve.points
    )
    label = f"what 95 % of {'chips' if known else 'draws'} reach"
    axes.plot([], [], color="0.4", linewidth=0.9, linestyle=(0, (4, 3)), label=label)
    axes.set_xlabel("σ of the drift")
    axes.set_ylabel(score)
    show_scores(axes)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)


def _cycle(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]
