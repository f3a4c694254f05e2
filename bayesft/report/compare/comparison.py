"""What a comparison can tell: means, quantiles and paired differences. Pure numerics.

contender  a way to train: `bayesft`
baseline   the contender that the differences are from: `erm`
score      of one run: the mean over the sigmas of what its task is scored by
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bayesft.errors import SettingError
from bayesft.report.estimate import Estimate
from bayesft.robustness import Curve, paired_difference


@dataclass(frozen=True)
class Comparison:
    """The curves of the finished runs; all were measured on the same chips.

    An error is over seeds, whose trainings are independent. One seed alone has that over
    chips and images, which does not hold how trainings differ.

    Attributes:
        curves: by contender, in the order of the report, and seed.
        sigmas: the strengths that a score is the mean over.
        baseline: a contender; it need not have finished a run.
        title: of what a network is scored by.

    Raises:
        SettingError: no run is finished.
    """

    curves: Mapping[str, Mapping[int, Curve]]
    sigmas: tuple[float, ...]
    baseline: str
    title: str = "accuracy"

    def __post_init__(self) -> None:
        if not any(self.curves.values()):
            raise SettingError("A comparison needs a finished run, and there is none.")

    @property
    def contenders(self) -> list[str]:
        """Those with a finished run."""
        return [name for name, curves in self.curves.items() if curves]

    @property
    def rivals(self) -> list[str]:
        """The contenders that share a seed with the baseline."""
        return [n for n in self.contenders if n != self.baseline and self._pairs(n, self.baseline)]

    @property
    def best(self) -> str:
        """The contender with the highest mean score."""
        return max(self.contenders, key=lambda name: self.mean(name).value)

    @property
    def measured_sigmas(self) -> tuple[float, ...]:
        """The sigmas of all curves, those outside of the score included."""
        every = [curve for curves in self.curves.values() for curve in curves.values()]
        return tuple(s for s in every[0].sigmas if all(s in curve.sigmas for curve in every))

    def seeds(self, name: str) -> list[int]:
        """Return the seeds of a contender's finished runs."""
        return sorted(self.curves[name])

    def mean(self, name: str) -> Estimate:
        """Return the mean score."""
        curves = [curve.at(self.sigmas) for curve in self.curves[name].values()]
        return _over([curve.mean for curve in curves], [curve.stderr for curve in curves])

    def at(self, name: str, sigma: float) -> Estimate:
        """Return the mean score at one sigma."""
        points = [curve.at([sigma]).points[0] for curve in self.curves[name].values()]
        return _over([point.mean for point in points], [point.stderr for point in points])

    def quantile05(self, name: str, sigma: float | None = None) -> Estimate:
        """Return what 95 % of the chips reach at one sigma, or its mean over the sigmas.

        Its error is over seeds alone.
        """
        sigmas = self.sigmas if sigma is None else (sigma,)
        curves = [curve.at(sigmas) for curve in self.curves[name].values()]
        values = [math.fsum(p.quantile05 for p in c.points) / len(c.points) for c in curves]
        return Estimate.of(values)

    def difference(self, name: str, sigma: float | None = None) -> Estimate | None:
        """Return how much higher `name` scores than the baseline, over the seeds of both.

        The two networks of a seed start from the same weights, see the same batches and are
        tested on the same chips and images; what these do to both cancels out.

        Args:
            name: of the contender.
            sigma: at which, or None for the score.

        Returns:
            None for the baseline itself, or where the two share no seed.
        """
        return None if name == self.baseline else self.lead(name, self.baseline, sigma)

    def lead(self, name: str, other: str, sigma: float | None = None) -> Estimate | None:
        """Return how much higher `name` scores than `other`; see `difference`."""
        pairs = self._pairs(name, other)
        if not pairs:
            return None
        sigmas = self.sigmas if sigma is None else (sigma,)

        found = [paired_difference(ours.at(sigmas), theirs.at(sigmas)) for ours, theirs in pairs]
        return _over([each.value for each in found], [each.stderr for each in found])

    def _pairs(self, name: str, other: str) -> list[tuple[Curve, Curve]]:
        ours, theirs = self.curves[name], self.curves.get(other, {})
        return [(ours[seed], theirs[seed]) for seed in sorted(ours) if seed in theirs]


def _over(values: list[float], of_chips: list[float]) -> Estimate:
    """Return the mean over seeds; of one seed with the error over chips."""
    one = len(values) == 1
    return Estimate(values[0], of_chips[0], 1) if one else Estimate.of(values, of_chips)
