"""How far apart two networks are on the same chips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesft.errors import SettingError
from bayesft.robustness import statistics
from bayesft.robustness.curve import Curve


@dataclass(frozen=True)
class DifferencePoint:
    """The difference of two networks' mean scores at one sigma, and its standard error.

    Attributes:
        sigma: the strength of the drift.
        value: of the means.
        stderr: of `value`.
        degrees: of freedom, of the draws that both have.
    """

    sigma: float
    value: float
    stderr: float
    degrees: int = 0

    def interval(self, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        """Return Student's interval of confidence; NaN without a degree of freedom."""
        return statistics.interval(self.value, self.stderr, self.degrees, confidence)


@dataclass(frozen=True)
class Difference:
    """A difference of two curves' mean scores and its standard error.

    Attributes:
        value: of the means over sigmas.
        stderr: of `value`.
        points: the same for each sigma.
    """

    value: float
    stderr: float
    points: tuple[DifferencePoint, ...] = ()

    def interval(self, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        """Return Student's interval of confidence, of the fewest draws at a sigma.

        Of a few draws it is much wider than 1.96 standard errors to each side.

        Args:
            confidence: between 0 and 1.
        """
        degrees = min((point.degrees for point in self.points), default=0)
        return statistics.interval(self.value, self.stderr, degrees, confidence)


def paired_difference(curve: Curve, baseline: Curve) -> Difference:
    """Return `curve.mean - baseline.mean` with the standard error of the difference.

    The two curves were measured on the same chips, so what a chip does to both
    networks cancels out: the error is that of the draws' differences, for as many
    draws as both curves have. Curves of as many draws and images also share their
    images.

    Not checked: that both are of the same images and the same score.

    Raises:
        SettingError: the curves do not share seed, sigmas and drift, or hold no scores; one is
            no curve.
    """
    for name, each in (("curve", curve), ("baseline", baseline)):
        if not isinstance(each, Curve):
            raise SettingError(
                f"Expected `{name}` to be a curve, which `evaluate` returns, but got "
                f"{type(each).__name__}."
            )
    if curve.scores is None or baseline.scores is None:
        raise SettingError("A paired difference needs curves with scores: load them from JSON.")
    ours, theirs = (
        {"seed": each.seed, "sigmas": each.sigmas, "folds": each.strata}
        # Curves of earlier versions do not say it.
        | ({} if None in (curve.drift, baseline.drift) else {"drift": each.drift})
        for each in (curve, baseline)
    )
    if ours != theirs:
        raise SettingError(
            f"A paired difference needs the same chips, sigmas and drift, but got curves of {ours} "
            f"and {theirs}. Evaluate both with the same settings."
        )
    size = len(curve.points)
    table = statistics.as_array([*curve.scores, *baseline.scores])

    def stderr(weights: Sequence[float]) -> float:
        signed = [*weights, *(-weight for weight in weights)]
        return statistics.combined_stderr(table, signed, curve.strata)

    shared = (~np.isnan(table[:size]) & ~np.isnan(table[size:])).sum(axis=1)
    points = tuple(
        DifferencePoint(
            ours.sigma,
            ours.mean - theirs.mean,
            stderr([float(i == j) for j in range(size)]),
            max(0, int(shared[i]) - curve.strata),
        )
        for i, (ours, theirs) in enumerate(zip(curve.points, baseline.points, strict=True))
    )
    return Difference(curve.mean - baseline.mean, stderr([1 / size] * size), points)
