"""What a search has learnt: which dimensions matter, and whether to believe it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bayesft.bo.trial import Trial

# Fewer residuals do not tell a mean square of 1 from one of 2: its standard error
# is sqrt(2/n), a half at 8.
FEWEST_TRIALS = 8

# Two-sided 95 % of a normal variable.
_Z = 1.96


@dataclass(frozen=True)
class Slice:
    """The posterior on the line through the best point along one dimension.

    Args:
        values: of the dimension, in the user's units.
        means: of the noiseless value of a trial there; medians, if the scale of the values
            is warped.
        sds: its standard deviations; see `Units.summary`.
        scale: of an axis for the values.
    """

    values: tuple[Any, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    scale: Literal["linear", "log", "choices"] = "linear"


@dataclass(frozen=True)
class Influence:
    """How much one dimension matters.

    Args:
        name: of the dimension.
        importance: Sobol's total index: the share of the value's variance over the whole space
            that is left when all other dimensions are known; see `sensitivity`. 0 if the value
            does not depend on it, 1 if on nothing else. They add up to more than 1 where
            dimensions act together. Failed trials count as the worst value, and those far
            worse than all others as `winsorize` draws them up. Of a value that changes it is
            that of the present, and of the progress None. It is the median of the functions
            that the trials leave possible.
        interval: which holds it for 95 % of these.
        effect: the slice's highest mean minus its lowest, in units of the value.
            The highest of many is also the luckiest: less than twice `effect_sd`
            is nothing.
        effect_sd: the standard deviation of that difference.
        slice: along the dimension.
    """

    name: str
    importance: float | None
    interval: tuple[float, float] | None
    effect: float
    effect_sd: float
    slice: Slice


@dataclass(frozen=True)
class Calibration:
    """Each trial as predicted from all the others, with its noise (leave-one-out).

    The hyperparameters are those of the fit to all trials, so it flatters a little.

    Args:
        observed: the trials' values.
        predicted: the median of the prediction for each.
        sds: half the width of its middle 68 %, the trial's noise included.
        residuals: how many standard deviations each trial lies above its prediction, on
            the scale where that is normal; standard normal if the fit is right. That is
            (observed - predicted) / sd where the scale of the values is not warped.
    """

    observed: tuple[float, ...]
    predicted: tuple[float, ...]
    sds: tuple[float, ...]
    residuals: tuple[float, ...]

    @property
    def mean_square(self) -> float:
        """Mean square of the residuals: 1 if calibrated, above if overconfident."""
        return sum(z * z for z in self.residuals) / len(self.residuals)

    @property
    def within(self) -> float:
        """Share of the trials inside their interval of 95 %."""
        return sum(abs(z) <= _Z for z in self.residuals) / len(self.residuals)

    @property
    def r2(self) -> float:
        """Share of the values' variance that is predicted; one wild trial can decide it."""
        mean = sum(self.observed) / len(self.observed)
        # In units in which no square is too large or too small for a float.
        unit = max(abs(o - mean) for o in self.observed)
        pairs = zip(self.observed, self.predicted, strict=True)
        missed = sum(((o - p) / unit) ** 2 for o, p in pairs)
        return 1 - missed / sum(((o - mean) / unit) ** 2 for o in self.observed)

    @property
    def rank_correlation(self) -> float:
        """Spearman's correlation of prediction and value; 0 if all predictions are equal."""
        try:
            return statistics.correlation(_ranks(self.predicted), _ranks(self.observed))
        except statistics.StatisticsError:
            return 0.0


@dataclass(frozen=True)
class Insight:
    """What a search has learnt.

    Args:
        influences: of the dimensions, the most important first.
        calibration: of the finished trials, in the order of `trials`.
        trials: the finished ones.
        best: the trial that the slices run through.
        parameters: numbers that were fitted to the trials.
        step: by how much trials from scratch have a larger value than those that took up
            another would have at the same point; 0 if the trials are of one kind.
    """

    influences: tuple[Influence, ...]
    calibration: Calibration
    trials: tuple[Trial, ...]
    best: Trial
    parameters: int
    step: float = 0.0

    @property
    def chance(self) -> float:
        """Rank correlation that a fit to pure noise hardly ever exceeds.

        (p/n)^(1/4) for p parameters and n trials, found by simulation: of 216 fits
        to noise that had to be learnt, to 14 to 100 trials in 3 to 20 columns, 3
        exceeded it. It is that high because the hyperparameters have seen the trials
        that are left out. Where the stated errors explain all noise, less would do. Above 1,
        which no fit exceeds, where there are fewer trials than parameters.
        """
        return (self.parameters / len(self.trials)) ** 0.25

    @property
    def doubt(self) -> str | None:
        """Why the fit should not be read, or None if it can be."""
        n, square = len(self.trials), self.calibration.mean_square
        least = max(FEWEST_TRIALS, 2 * self.parameters)
        if n < least:
            return f"too few trials: {n} finished, at least {least} are needed to judge the fit"
        if (found := self.calibration.rank_correlation) < self.chance:
            return (
                f"no better than a fit to noise (rank correlation {found:.2f}, noise alone reaches "
                f"{self.chance:.2f}): importance means nothing here"
            )
        if square > (limit := _chi_square(n, _Z) / n):
            return (
                f"overconfident: the squared residuals average {square:.1f} where at most "
                f"{limit:.1f} is luck; the bands and intervals are too narrow"
            )
        return None

    @property
    def verdict(self) -> str:
        """Whether the fit can be read, in words."""
        if self.doubt is not None:
            return self.doubt
        n, square = len(self.trials), self.calibration.mean_square
        if square < _chi_square(n, -_Z) / n:
            return (
                f"can be read, but is too careful: the squared residuals average {square:.1f}, so "
                "the bands and intervals are wider than they have to be"
            )
        return "can be read"


def _chi_square(n: int, z: float) -> float:
    """Return the quantile of chi-square with n degrees that a normal one has at z.

    Wilson and Hilferty, "The Distribution of Chi-Square", PNAS 1931: within 1 %
    of the upper and 3 % of the lower quantile from n = 8 on.
    """
    return n * (1 - 2 / (9 * n) + z * math.sqrt(2 / (9 * n))) ** 3


def _ranks(numbers: Sequence[float]) -> list[float]:
    """Return each number's place in their order, from 0; equal ones share the mean of theirs."""
    ordered = sorted(numbers)
    return [ordered.index(x) + (ordered.count(x) - 1) / 2 for x in numbers]
