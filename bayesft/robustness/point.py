"""The score at one sigma."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bayesft.robustness import statistics


@dataclass(frozen=True)
class CurvePoint:
    """The score at one sigma, over draws.

    Attributes:
        sigma: the strength of the drift.
        mean: the mean over draws; unbiased for the expected score.
        stderr: its standard error; NaN for a single draw.
        std: the standard deviation of the draws' scores (n - 1). A draw is scored
            on `images / draws` images, so this holds the spread between chips and
            the sampling of images; with many images per draw it is the former.
        quantile05: the 5 % quantile of the chips' scores on all images: what 95 % of the chips
            reach; see `statistics.low_quantile_of_chips`. Where `image_variance` is not known it
            is that of the draws' scores, which is lower the fewer images a draw has.
        draws: how many draws.
        images: how many images these draws were scored on, all together.
        nonfinite: how many draws had a score that was not finite, and were
            counted as the worst score.
        quantile05_low: the lower end of a 95 % interval for `quantile05`; NaN where the
            draws are too few to give it, fewer than 72. At sigma 0 it is the mean's.
        quantile05_high: its upper end.
        worst: the lowest score of a draw, on the images that it was scored on.
        unseen: how far the mean may be off by what no image has shown, or no chip where
            all draws have the same score; see `statistics.unseen`. It matters near the
            best and the worst score alone.
        strata: how many folds the draws belong to, see `Curve`.
        image_variance: what the sampling of images adds to the variance of the draws' scores; NaN
            where that is not known, because a score is of a whole batch or a draw has one image.
    """

    sigma: float
    mean: float
    stderr: float
    std: float
    quantile05: float
    draws: int
    images: int
    nonfinite: int = 0
    quantile05_low: float = math.nan
    quantile05_high: float = math.nan
    worst: float = math.nan
    unseen: float = 0.0
    strata: int = 1
    image_variance: float = math.nan

    @classmethod
    def from_scores(
        cls,
        sigma: float,
        scores: Sequence[float | None],
        *,
        images: int,
        nonfinite: int = 0,
        strata: int = 1,
        worst_score: float = 0.0,
        best_score: float = 1.0,
        image_variance: float = math.nan,
    ) -> "CurvePoint":
        """Summarise one score per draw, gaps None; `images` counts all draws together."""
        [row] = statistics.as_array([scores])
        there = [score for score in scores if score is not None]
        mean, std = statistics.mean(row, strata), statistics.std(row, strata)
        stderr = statistics.stderr(row, strata)
        tried = statistics.tries(len(there), images, sigma=sigma, agree=std == 0)
        if sigma == 0 and image_variance > 0:
            # All chips are one, and what differs is the images.
            margin = statistics.student_margin(stderr, len(there) - strata)
            quantile, low, high = mean, mean - margin, mean + margin
        else:
            quantile, low, high = statistics.low_quantile_of_chips(
                row, 0.05, image_variance, strata
            )
        return cls(
            sigma=sigma,
            mean=mean,
            stderr=stderr,
            std=std,
            quantile05=quantile,
            draws=len(there),
            images=images,
            nonfinite=nonfinite,
            # There are no scores beyond the worst and the best.
            quantile05_low=max(low, min(worst_score, quantile)),
            quantile05_high=min(high, max(best_score, quantile)),
            worst=min(there),
            unseen=statistics.unseen(mean, tried, worst=worst_score, best=best_score),
            strata=strata,
            image_variance=image_variance,
        )

    def interval(self, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        """Return an interval of confidence for the mean; NaN for a single draw.

        It is Student's, wider by what no image has shown: ten images that were all
        right do not make a score of 1 certain. What a part p of the chips does is seen from
        about 3/p draws on; where a few chips fail, and fewer draws met none of them, the
        interval does not know of them. Of a few draws of skewed scores it is too narrow.

        Args:
            confidence: between 0 and 1.
        """
        degrees = self.draws - self.strata
        return statistics.interval(self.mean, self.stderr, degrees, confidence, unseen=self.unseen)
