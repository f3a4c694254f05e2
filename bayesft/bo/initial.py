"""How many trials a search of a known length begins with before its Gaussian process is asked."""

# Where the value changes while it is searched, the first trials also have to tell the trend.
MOST = 5
MOST_CHANGING = 8


def initial_trials(trials: int, *, changing: bool = False) -> int:
    """Return half of all, so that a short search asks it too, from 2 to 5.

    Args:
        trials: how many there are to be in all.
        changing: whether the value changes while it is searched; then up to 8.
    """
    return min(MOST_CHANGING if changing else MOST, max(2, trials // 2))
