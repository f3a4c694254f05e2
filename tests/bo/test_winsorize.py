"""Values far worse than most."""

import math
from dataclasses import replace

import pytest

from bayesft.bo import Optimizer, Real, Space
from bayesft.bo.winsorize import REACH, winsorized

LR = Space({"lr": Real(1e-5, 1, log=True), "decay": Real(0, 1)})


def _loss(lr, decay):
    """Return what is least, 0, at lr = 10^-2.5 and decay = 0.4; it diverges from 10^-1 on."""
    exponent = math.log10(lr) + 2.5
    diverged = 10 ** (6 * (exponent - 1.5)) if exponent > 1.5 else 0.0
    return 0.2 * exponent**2 + 0.5 * (decay - 0.4) ** 2 + diverged


def test_only_what_is_far_below_all_others_is_drawn_up_to_them():
    scores = [0.9, -1e6, 0.8, 0.7, 1.0, 0.6, -50.0, 0.95, 0.65]
    # 0.6 is the lower quartile of the nine, 0.8 the median of the first five. Two outliers,
    # drawn up to no nearer than `REACH`.
    limit = 1.0 - REACH * (1.0 - 0.6)
    assert winsorized(scores) == [max(score, limit) for score in scores]
    # -5 is no outlier, and the limit of what is worse.
    scores += [-5.0, 0.96, 0.97, 0.98]
    assert winsorized(scores) == [max(score, -5.0) for score in scores]
    assert winsorized(scores[:4]) == scores[:4]


def test_what_is_far_from_where_a_search_ends_is_no_outlier():
    scores = [0.4, 0.9, 0.2, 0.8, 0.1, *(1.0 - n / 1000 for n in range(40))]
    # The median of the first five is 0.4.
    assert winsorized(scores) == scores
    assert winsorized(scores[5:]) == scores[5:]
    assert winsorized([*scores, -30.0])[-1] == 1.0 - REACH * (1.0 - 0.4)


@pytest.mark.parametrize(
    "scores",
    [
        [2.0],
        [0.0, -1e9],
        [0.0, 0.0, 0.0, -1e9],
        # Nearly all at the top, apart by rounding alone.
        [1.0, 1.0 - 1e-16, 1.0, 1.0, 1.0, 1.0, 1.0, 0.3],
        [0.0] * 9 + [-1.0],
        [1.7e308, -1.7e308, 1.7e308, -1.7e308, 0.0],
        [float(n) for n in range(20)],
    ],
)
def test_scores_that_say_nothing_of_a_tail_are_left_alone(scores):
    assert winsorized(scores) == scores


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_search_whose_losses_diverge_finds_the_least_all_the_same(direction):
    sign = 1 if direction == "minimize" else -1
    optimizer = Optimizer(LR, direction=direction, seed=1)
    for _ in range(20):
        optimizer.ask()
        [trial] = optimizer.pending
        optimizer.tell(replace(trial, state="finished", value=sign * _loss(**trial.params)))
    values = [sign * trial.value for trial in optimizer.trials]
    assert max(values) > 1e3
    # As it was told, not as it was fitted.
    assert max(sign * trial.value for trial in optimizer.insight().trials) < max(values)
    # 20 random points come below 0.01 in one search of three, below 0.001 in one of thirty.
    assert sign * optimizer.best().value < 1e-3
