"""Values far worse than most, such as the losses of trainings that diverged."""

from collections.abc import Sequence

# In units of what usual values differ by from the best: beyond the first, a value is an outlier;
# it is drawn up to the worst of the others, but not nearer than the second.
OUTLIER, REACH = 30.0, 3.0
# The first trials are spread over the space, and no search has drawn them together yet.
SPREAD = 5


def winsorized(scores: Sequence[float]) -> list[float]:
    """Return scores, the larger the better, with those far below all others drawn up to them.

    How much worse than useless one is says nothing of where the best is, and beside a
    diverged loss of 1e6 all losses of trainings that went well look the same. Outliers become
    equal; all others stay. Of fewer than `SPREAD` scores none is changed.

    An outlier is `OUTLIER` times as far below the best as the lower quartile, or as the median
    of the first `SPREAD` scores if that is lower: late in a search most trials lie near the
    best, and what is far from these is no outlier yet.

    Source: winsorising (J. W. Tukey, "The Future of Data Analysis", Annals of Mathematical
    Statistics 1962), of one side, with limits of our own.

    Args:
        scores: in the order in which they were tried; finite.
    """
    if len(scores) < SPREAD:
        return list(scores)
    best = max(scores)
    quartile = sorted(scores)[(len(scores) - 1) // 4]
    usual = min(quartile, sorted(scores[:SPREAD])[SPREAD // 2])
    # What differs by rounding alone, such as scores of 1 that nearly all have, sets no scale.
    if best - usual <= 1e-9 * max(abs(best), abs(usual)):
        return list(scores)
    worst = min(score for score in scores if score >= best - OUTLIER * (best - usual))
    limit = min(worst, best - REACH * (best - usual))
    return [max(score, limit) for score in scores]
