"""What a person reads of a search while it runs."""

from bayesft.bo import Trial
from hydra_plugins.bayesft_sweeper._told import luckier_line


def test_a_luckier_trial_than_the_best_is_explained():
    """The Gaussian process of all trials decides which is the best."""
    best, lucky = (Trial(number, {"x": 0.5}, state="finished", value=value)
                   for number, value in ((0, 0.5), (1, 0.6)))  # fmt: skip
    assert "Trial 1 gave 0.6" in luckier_line(best, [best, lucky], (), minimize=False)
    assert luckier_line(best, [best, lucky], (), minimize=True) is None
    assert luckier_line(lucky, [best, lucky], (), minimize=False) is None
