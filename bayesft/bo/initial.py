"""How many trials a search of a known length begins with before its Gaussian process is asked."""

LEAST_INITIAL, MOST_INITIAL = 2, 8


def initial_trials(trials: int) -> int:
    """Return half of all, so that a short search asks it too, from 2 to 8.

    Args:
        trials: how many there are to be in all.
    """
    return min(MOST_INITIAL, max(LEAST_INITIAL, trials // 2))
