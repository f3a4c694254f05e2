"""A comparison as a table and sentences."""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from bayesft.report.compare.comparison import Comparison
from bayesft.report.compare.own_chip import own_chip, own_chip_sigma
from bayesft.report.compare.runs import Run
from bayesft.report.cost import Cost
from bayesft.report.estimate import Estimate
from bayesft.robustness.statistics import student_margin


def caption(comparison: Comparison) -> str:
    """Return what the numbers are, and what stands behind each ±."""
    span = ", ".join(f"{sigma:g}" for sigma in comparison.sigmas)
    return (
        f"{begun(comparison.title)} on test images; the mean is over σ = {span}. n is the number "
        f"of seeds. ± is one standard error over seeds{_of_few(comparison)}, and no less than "
        "chips and images leave; where n is 1 it is over chips and images, and how far trainings "
        "differ is not in it. The 5 % quantile is what 95 % of the chips reach, its mean over the "
        f"same σ. The difference from {comparison.baseline} is in pairs: seed by seed, "
        "on the same chips and images."
    )


def begun(title: str) -> str:
    """Return a title as the first word of a sentence; mAP keeps its small m."""
    return title.capitalize() if title.isalpha() and title.islower() else title


def leader_sentence(comparison: Comparison) -> str:
    """Return who is ahead of the baseline, and whether by more than chance.

    The intervals are Student's of 95 % for all contenders together (Bonferroni), since
    the leader was chosen for its score.
    """
    gains = {name: comparison.difference(name) for name in comparison.rivals}
    best, baseline = comparison.best, comparison.baseline
    mean = comparison.mean(best)
    said = f"{best} has the highest mean, {mean.text()}"
    if best == baseline:
        return f"{said}: none of the others is above it."
    if best not in gains:
        return f"{said}; it shares no seed with {baseline}."
    gain = gains[best]
    said += f", {gain.value:+.3f} from {baseline}"
    if gain.seeds < 2:
        return f"{said}. One seed does not show how much of this is a lucky training."
    low, high = gain.interval(len(gains))
    said += f" (95 % interval {low:+.3f} to {high:+.3f} by {gain.seeds} seeds, {_together(gains)})"
    if low <= 0:
        return f"{said}: not shown to be more than chance."
    return f"{said}.{_of_rivals(comparison)}"


def _of_rivals(comparison: Comparison) -> str:
    """Return which of the others the leader is not shown to be ahead of, if there are others.

    By as many intervals together as there are pairs of contenders: which of them leads was seen
    in the same scores. With one for each rival a lead over some equal is found too often.
    """
    every = len(comparison.contenders)
    best, baseline = comparison.best, comparison.baseline
    others = [name for name in comparison.contenders if name not in (best, baseline)]
    leads = {name: comparison.lead(best, name) for name in others}
    close = [
        name
        for name, lead in leads.items()
        if lead is None or not lead.interval(every * (every - 1) // 2)[0] > 0
    ]
    if close:
        return f" It is not shown to be ahead of {', '.join(close)}."
    return " It is ahead of each of the others by more than chance." if others else ""


def _of_few(comparison: Comparison) -> str:
    """Return what few seeds make of a standard error."""
    seeds = [n for name in comparison.contenders if (n := len(comparison.seeds(name))) > 1]
    if not seeds or min(seeds) > 9:
        return ""
    few = min(seeds)
    return f", itself rough: 95 % is ± {student_margin(1, few - 1):.1f} of them for n = {few}"


def comparison_table(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> Table:
    """Return a table for a terminal: a row per contender, and one for a chip of its own."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    heads = ["", "n", "no drift", "mean", f"− {comparison.baseline}", "5 %", "time"]
    for name in heads:
        table.add_column(name, justify="right" if name else "left")
    for name in comparison.contenders:
        clean = f"{comparison.at(name, 0.0).value:.3f}" if _has_clean(comparison) else ""
        gain = comparison.difference(name)
        table.add_row(
            name,
            str(len(comparison.seeds(name))),
            clean,
            comparison.mean(name).text(),
            _shown(gain, "+"),
            f"{comparison.quantile05(name).value:.3f}",
            duration(mean_cost(runs[name])[1]),
            style="bold" if name == comparison.best else None,
        )
        if (own := own_chip(runs[name])) is not None:
            sigma = own_chip_sigma(runs[name])
            at = "" if sigma is None else f", σ {sigma:g}"
            table.add_row(f"  own chip{at}", "", "", own.text(), style="dim")
    return table


def mean_cost(runs: Sequence[Run]) -> tuple[Cost | None, float]:
    """Return the cost of the first of the runs that has one, and their mean seconds, or NaN."""
    costs = [run.cost for run in runs if run.cost is not None]
    if not costs:
        return None, math.nan
    return costs[0], math.fsum(cost.seconds for cost in costs) / len(costs)


def duration(seconds: float) -> str:
    """Return `48 s`, `3.2 min` or `1.5 h`; nothing for NaN."""
    if math.isnan(seconds):
        return ""
    if seconds < 90:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _shown(estimate: Estimate | None, sign: str = "") -> str:
    return "" if estimate is None else estimate.text(sign)


def _has_clean(comparison: Comparison) -> bool:
    return 0.0 in comparison.measured_sigmas


def _together(gains: Mapping[str, object]) -> str:
    return "for it alone" if len(gains) == 1 else f"for all {len(gains)} differences together"
