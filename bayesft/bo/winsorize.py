"""Values far worse than most, such as the losses of trainings that diverged."""

from collections.abc import Sequence

# How far below the best a value may lie, in distances of the best to the lower quartile.
# Of 20 normal values that is about 4 standard deviations below their mean.
REACH = 3.0


def winsorized(scores: Sequence[float]) -> list[float]:
    """Return scores, the larger the better, with those far below most raised to a limit.

    How much worse than useless one is says nothing of where the best is, and beside a
    diverged loss of 1e6 all losses of trainings that went well look the same. Those below the
    limit become equal; all others stay. Of fewer than 5 scores none is changed.

    Source: winsorising (J. W. Tukey, "The Future of Data Analysis", Annals of Mathematical
    Statistics 1962), of one side, with a limit of our own.

    Args:
        scores: at least one, finite.
    """
    ordered = sorted(scores)
    best, quartile = ordered[-1], ordered[(len(ordered) - 1) // 4]
    reach = best - quartile
    # What differs by rounding alone, such as scores of 1 that nearly all have, sets no scale.
    if reach <= 1e-9 * max(abs(best), abs(quartile)):
        return list(scores)
    limit = best - REACH * reach
    return [max(score, limit) for score in scores]
