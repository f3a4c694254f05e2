"""The numbers of a comparison, for a spreadsheet."""

from collections.abc import Mapping, Sequence

from bayesft.report.compare.comparison import Comparison
from bayesft.report.compare.own_chip import own_chip, own_chip_sigma
from bayesft.report.compare.runs import Run
from bayesft.report.compare.text import mean_cost
from bayesft.report.estimate import Estimate
from bayesft.report.sheet import Sheet

Numbers = list[float | None]


def contenders_sheet(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> Sheet:
    """Return one row per contender."""
    sigmas = comparison.measured_sigmas
    head = ["contender", "seeds", "mean", "mean_stderr", "quantile05", "quantile05_stderr"]
    head += ["difference", "difference_stderr", "difference_low", "difference_high"]
    head += ["epochs", "passes_per_step", "seconds"]
    head += ["own_chip", "own_chip_stderr", "own_chip_sigma"]
    for sigma in sigmas:
        score = f"{comparison.title}_{sigma:g}"
        head += [score, f"{score}_stderr", f"quantile05_{sigma:g}"]
        head += [f"difference_{sigma:g}", f"difference_{sigma:g}_stderr"]
    rows = []
    for name in comparison.contenders:
        row: Numbers = [*_pair(comparison.mean(name)), *_pair(comparison.quantile05(name))]
        gain = comparison.difference(name)
        row += _pair(gain)
        row += [None, None] if gain is None else gain.interval(len(comparison.rivals))
        cost, seconds = mean_cost(runs[name])
        row += [None] * 3 if cost is None else [cost.epochs, cost.passes, seconds]
        row += [*_pair(own_chip(runs[name])), own_chip_sigma(runs[name])]
        for sigma in sigmas:
            row += _pair(comparison.at(name, sigma))
            row += [comparison.quantile05(name, sigma).value]
            row += _pair(comparison.difference(name, sigma))
        rows.append([name, " ".join(map(str, comparison.seeds(name))), *row])
    return Sheet(head, rows)


def runs_sheet(runs: Mapping[str, Sequence[Run]]) -> Sheet:
    """Return one row per run and sigma, for an analysis of one's own."""
    head = ["contender", "seed", "sigma", "mean", "stderr", "std", "quantile05", "worst", "chips"]
    rows = [
        [run.contender, run.seed, p.sigma, p.mean, p.stderr, p.std, p.quantile05, p.worst, p.draws]
        for of_name in runs.values()
        for run in of_name
        for p in run.curve.points
    ]
    return Sheet(head, rows)


def _pair(estimate: Estimate | None) -> Numbers:
    return [None, None] if estimate is None else [estimate.value, estimate.stderr]
