"""A mean over seeds, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bayesft.errors import SettingError
from bayesft.robustness.statistics import CONFIDENCE, student_margin


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its standard error, NaN for one seed."""

    value: float
    stderr: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float], errors: Sequence[float] = ()) -> "Estimate":
        """Return the mean of one value per seed. The seeds are independent trainings.

        Few values can lie together by luck, closer than they are known. What is known of each
        is in their spread, so that the mean's error is no smaller than that leaves.

        Args:
            values: one per seed.
            errors: the standard error of each, over chips and images; NaN where not known.

        Raises:
            SettingError: there are none.
        """
        count = len(values)
        if count == 0:
            raise SettingError("A mean over seeds needs a seed, but got none.")
        mean = math.fsum(values) / count
        if count == 1:
            return cls(mean, math.nan, 1)
        variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
        known = math.fsum(error**2 for error in errors if math.isfinite(error)) / count
        return cls(mean, math.sqrt(max(variance, known) / count), count)

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Return Student's 95 % interval; NaN for one seed.

        Args:
            comparisons: how many intervals are to hold together with 95 % (Bonferroni).
        """
        tail = (1 - CONFIDENCE) / comparisons
        margin = student_margin(self.stderr, self.seeds - 1, 1 - tail)
        return self.value - margin, self.value + margin

    def text(self, sign: str = "") -> str:
        """Return `0.712 ± 0.004`, or the value alone where there is no error."""
        value = f"{self.value:{sign}.3f}"
        return value if math.isnan(self.stderr) else f"{value} ± {self.stderr:.3f}"
