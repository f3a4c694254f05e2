"""What the scores of draws tell: means, their errors, quantiles. Pure functions.

Draws are numbered, and draw k belongs to stratum k mod H. A mean is the mean of the
H strata's means. A fixed number of draws is one stratum (H = 1); an evaluation that
stops by itself has one for each of its folds (see `sequential`).

scores  S x K, NaN where a draw was not made at a sigma
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesft.errors import SettingError

Array = NDArray[np.float64]

CONFIDENCE = 0.95


def as_array(rows: Sequence[Sequence[float | None]]) -> Array:
    """Return rows of scores, of any lengths and with gaps, as S x K with NaN in the gaps."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, scores in zip(table, rows, strict=True):
        row[: len(scores)] = [math.nan if score is None else score for score in scores]
    return table


def mean(scores: Array, strata: int = 1) -> float:
    """Return the mean of the strata's means of K scores, gaps left out."""
    return math.fsum(_mean(part) for part in _strata(scores, strata)) / strata


def std(scores: Array, strata: int = 1) -> float:
    """Return the standard deviation of K scores, pooled over the strata; NaN for one score."""
    parts = _strata(scores, strata)
    degrees = sum(len(part) - 1 for part in parts)
    if degrees == 0:
        return math.nan
    return math.sqrt(math.fsum(_squares(part) for part in parts) / degrees)


def stderr(scores: Array, strata: int = 1) -> float:
    """Return the standard error of the mean of K scores; NaN for one score."""
    shares = math.fsum(1 / len(part) for part in _strata(scores, strata))
    return std(scores, strata) * math.sqrt(shares) / strata


def covariances(scores: Array, strata: int = 1) -> Array:
    """Return the S x S covariances of the means of the S rows.

    In a stratum where row i has n_i scores, row j has n_j, and n_ij draws are in
    both, the covariance of the two means is c_ij n_ij / (n_i n_j). The strata are
    draws like any others, so c_ij, the covariance of a draw's two scores, is one: it
    is pooled over them. NaN where there are not two draws to estimate it from.
    """
    rows = len(scores)
    products, degrees, factors = np.zeros((3, rows, rows))
    for stratum in range(strata):
        part = scores[:, stratum::strata]
        there = ~np.isnan(part)
        counts = there.sum(axis=1)
        for i, j in itertools.combinations_with_replacement(range(rows), 2):
            both = there[i] & there[j]
            shared = int(both.sum())
            if shared:
                products[i, j] += _products(part[i, both], part[j, both])
                degrees[i, j] += shared - 1
                factors[i, j] += shared / (counts[i] * counts[j]) / strata**2
    with np.errstate(invalid="ignore"):
        upper = np.where(factors > 0, products / degrees, 0.0) * factors
    return np.triu(upper) + np.triu(upper, 1).T


def combined_stderr(scores: Array, weights: Sequence[float], strata: int = 1) -> float:
    """Return the standard error of the sum of `weights[i]` times the mean of row i.

    The rows share their draws, so their errors are not independent.
    """
    vector = np.asarray(weights, dtype=np.float64)
    variance = float(vector @ covariances(scores, strata) @ vector)
    # With rows of unequal length the estimated covariances can contradict each other.
    return math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan


def trapezoid_weights(places: Sequence[float]) -> list[float]:
    """Return the weights of the trapezoid rule, divided by the interval's length: sum 1."""
    if len(places) == 1:
        return [1.0]
    x = np.asarray(places, dtype=np.float64)
    steps = np.diff(x)
    weights = np.zeros(len(x))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    return (weights / (x[-1] - x[0])).tolist()


def quantile_interval(
    scores: Array, level: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return an interval of confidence for the quantile, from order statistics.

    How many of n scores lie below the quantile is binomial, so its tails tell between
    which two scores, in order, the quantile lies; nothing is assumed of the scores'
    distribution. An end that the number of scores cannot give is NaN: the lower one
    of a 5 % quantile takes 72 scores. The same as `scipy.stats.quantile_test` gives.
    """
    ordered = np.sort(_present(scores))
    below, above = _places(len(ordered), level, (1 - confidence) / 2)
    low = float(ordered[below]) if below >= 0 else math.nan
    return low, float(ordered[above]) if above < len(ordered) else math.nan


def _quantile(ordered: Array, level: float) -> float:
    """Return a quantile of ordered scores, by linear interpolation."""
    place = level * (len(ordered) - 1)
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    return low + (high - low) * (place - below)


def low_quantile_of_chips(
    scores: Array, level: float, noise: float, strata: int = 1, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    r"""Return a quantile of what chips score on all images, and an interval for it.

    The scores s of draws differ by more than their chips, since each is of some of the images
    alone. Drawn together about their mean by :math:`f(s^2) = \sqrt{1 - v / s^2}`, with v what
    the images add to their variance, they have the chips' variance and the form of their own
    distribution. Their quantile is then taken as that of scores without noise.

    The interval is that of order statistics, widened by the error that the images leave in the
    mean, and by how far the factor may be off, as if the scores were normal. In simulations it
    held the quantile in 94 to 99 % (200 chips of 30 or 100 images, 500 of 20), in less where
    there are two kinds of chips: in 82 % if a tenth of them fail, by 20 images, in 39 % by 10.
    Where fewer fail than the quantile's own part it hardly ever does, however many chips and
    images there are: those that fail make the variance large, so that the others are not
    drawn together, and the quantile is too low by what images add to them. With all images
    in each draw v is 0, and it is exact.

    Source: T. A. Louis, "Estimating a Population of Parameter Values Using Bayes and Empirical
    Bayes Methods", JASA 1984, whose estimates have the variance of what they estimate.

    Args:
        scores: K, NaN where a draw was not made.
        level: below one half.
        noise: v; NaN where it is not known, and then the quantile is of the scores as they are.
        strata: of the draws.
        confidence: of the interval.
    """
    ordered, spread = np.sort(_present(scores)), std(scores, strata)
    if not (noise > 0 and spread > 0):
        return _quantile(ordered, level), *quantile_interval(ordered, level, confidence)
    from scipy.special import ndtri

    centre, variance = mean(scores, strata), spread**2
    z = float(ndtri((1 + confidence) / 2))
    off = z * variance * math.sqrt(2 / (len(ordered) - strata))
    factor, most, least = (
        _factor(noise, each) for each in (variance, variance + off, variance - off)
    )
    drawn = centre + factor * (ordered - centre)
    value, (low, high) = _quantile(drawn, level), quantile_interval(drawn, level, confidence)
    shared, reach = z * math.sqrt(noise / len(ordered)), centre - _quantile(ordered, level)
    low = value - math.hypot(value - low, shared) - reach * (most - factor)
    high = value + math.hypot(high - value, shared) + reach * (factor - least)
    return value, low, high


def _factor(noise: float, variance: float) -> float:
    return math.sqrt(1 - noise / variance) if variance > noise else 0.0


def _places(count: int, level: float, tail: float) -> tuple[int, int]:
    """Return between which two places of `count` ordered scores a quantile lies.

    From 0; -1 and `count` where there is no such score.
    As `binom.ppf` and `isf` of `scipy.stats` have it, which takes a second to import.
    """
    from scipy.special import bdtr, bdtrc

    numbers = range(count + 1)
    below = bisect_left(numbers, tail, key=lambda k: bdtr(k, count, level))
    above = bisect_left(numbers, -tail, key=lambda k: -bdtrc(k, count, level))
    return below - 1, above


def unseen(mean: float, tried: int, *, worst: float, best: float) -> float:
    """Return how far the mean may be off by what happens too rarely to have been seen.

    Something that none of n tries shows has a probability of up to 3/n, with 95 %
    confidence (the "rule of three"), and can cost all that is above the worst score, or
    bring all that is below the best.

    Args:
        mean: of the scores.
        tried: n, see `tries`.
        worst: the lowest score that there is.
        best: the highest; what is below the mean counts for nothing.
    """
    return 3 * max(abs(mean - worst), best - mean) / tried


def tries(draws: int, images: int, *, sigma: float, agree: bool) -> int:
    """Return how many tries an evaluation is: what could each have shown what none did.

    Its images, all draws' together, where the scores differ: their error tells of the chips.
    Where every draw has the same score nothing does, and a chip that breaks would spoil
    all of its images together, so that a chip is a try. At sigma 0 all chips are the same.

    Args:
        draws: how many.
        images: of all of them.
        sigma: the strength of the drift.
        agree: whether all draws have the same score.
    """
    return draws if agree and sigma > 0 else images


def student_margin(stderr: float, degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return half the width of Student's interval for a mean; NaN without a degree of freedom."""
    from scipy.special import stdtrit

    return stderr * float(stdtrit(degrees, (1 + confidence) / 2)) if degrees > 0 else math.nan


def interval(
    mean: float, stderr: float, degrees: int, confidence: float, *, unseen: float = 0.0
) -> tuple[float, float]:
    """Return Student's interval for a mean, wider by what is `unseen`; NaN without a degree.

    Raises:
        SettingError: `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise SettingError(
            f"Expected `confidence` to be between 0 and 1, but got {confidence!r}. Try 0.95."
        )
    margin = math.hypot(student_margin(stderr, degrees, confidence), unseen)
    return mean - margin, mean + margin


def _present(scores: Array) -> Array:
    return scores[~np.isnan(scores)]


def _strata(scores: Array, strata: int) -> list[Array]:
    return [_present(scores[stratum::strata]) for stratum in range(strata)]


def _mean(scores: Array) -> float:
    return mean_of(scores.tolist())


def mean_of(numbers: Sequence[float]) -> float:
    """Return the mean; of numbers that all agree that number, to the bit."""
    # Their sum over how many they are may be another, and then they would not seem to agree.
    if min(numbers) == max(numbers):
        return numbers[0]
    return math.fsum(numbers) / len(numbers)


def _squares(scores: Array) -> float:
    """Return the sum of the squares of the deviations from the mean."""
    apart = scores - _mean(scores)
    return math.fsum((apart * apart).tolist())


def _products(a: Array, b: Array) -> float:
    """Return the sum of the products of the deviations from the means."""
    return math.fsum(((a - _mean(a)) * (b - _mean(b))).tolist())
