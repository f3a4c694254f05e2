"""How many trials a search of a known length begins with before its Gaussian process is asked."""


def initial_trials(trials: int) -> int:
    """Return half of all, so that a short search asks it too, from 2 to 8.

    Args:
        trials: how many there are to be in all.
    """
    return min(8, max(2, trials // 2))
