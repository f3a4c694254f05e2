"""Values far worse than most, such as the losses of trainings that diverged."""

from collections.abc import Sequence

# How far below the best a value may lie, in units of what usual values differ by from it.
REACH = 3.0
# The first trials are spread over the space, and no search has drawn them together yet.
SPREAD = 5


def winsorized(scores: Sequence[float]) -> list[float]:
    """Return scores, the larger the better, with those far below most raised to a limit.

    How much worse than useless one is says nothing of where the best is, and beside a
    diverged loss of 1e6 all losses of trainings that went well look the same. Those below the
    limit become equal; all others stay. Of fewer than `SPREAD` scores none is changed.

    The limit is `REACH` times as far below the best as the lower quartile, or as the median of
    the first `SPREAD` scores if that is lower: late in a search most trials lie near the best,
    and what is worse than these is no outlier.

    Source: winsorising (J. W. Tukey, "The Future of Data Analysis", Annals of Mathematical
    Statistics 1962), of one side, with a limit of our own.

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
    limit = best - REACH * (best - usual)
    return [max(score, limit) for score in scores]
