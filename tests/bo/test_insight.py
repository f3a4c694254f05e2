"""Calibration and verdict: whether a fit can be read."""

import math
import random
import re
from dataclasses import replace
from statistics import NormalDist

import pytest

from bayesft.bo.insight import Calibration, Insight, _chi_square
from bayesft.bo.trial import Trial


def drawn(n, *, spread=1.0, signal=1.0, columns=1):
    """Return the insight of n residuals of a normal variable, spread by `spread`."""
    quantiles = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    random.Random(0).shuffle(quantiles)
    predicted = [signal * i for i in range(n)]
    observed = [p + spread * z for p, z in zip(predicted, quantiles, strict=True)]
    trials = tuple(Trial(i, {}, state="finished", value=v) for i, v in enumerate(observed))
    residuals = tuple(spread * z for z in quantiles)
    calibration = Calibration(tuple(observed), tuple(predicted), (1.0,) * n, residuals)
    return Insight((), calibration, trials, trials[0], parameters=columns + 2)


@pytest.mark.parametrize(
    ("insight", "verdict", "readable"),
    [
        (drawn(20), r"^can be read$", True),
        (drawn(7), r"too few trials: 7 finished, at least 8", False),
        (drawn(20, columns=9), r"too few trials: 20 finished, at least 22", False),
        (drawn(20, signal=1e-3), r"no better than a fit to noise.*means nothing", False),
        (drawn(20, spread=1.5), r"overconfident: .* average 2.1 where at most 1.7", False),
        (drawn(20, spread=0.5), r"can be read, but is too careful: .* average 0.2", True),
    ],
)
def test_the_verdict(insight, verdict, readable):
    assert re.search(verdict, insight.verdict)
    assert (insight.doubt is None) is readable


def test_the_numbers_of_a_calibration():
    calibration = Calibration(
        observed=(1.0, 2.0, 4.0, 3.0),
        predicted=(1.0, 3.0, 4.0, 3.0),
        sds=(1.0, 0.5, 1.0, 1.0),
        residuals=(0.0, -2.0, 0.0, 0.0),
    )
    assert calibration.mean_square == 1.0
    assert calibration.within == 0.75
    assert calibration.r2 == pytest.approx(1 - 1 / 5)
    # Ranks 0 1.5 3 1.5 against 0 1 3 2.
    assert calibration.rank_correlation == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert replace(calibration, predicted=(2.0,) * 4).rank_correlation == 0.0
    for unit in (1e-200, 1e200):
        observed, predicted = (
            tuple(unit * each for each in numbers)
            for numbers in (calibration.observed, calibration.predicted)
        )
        huge = replace(calibration, observed=observed, predicted=predicted)
        assert huge.r2 == pytest.approx(calibration.r2)


@pytest.mark.parametrize(("n", "low", "high"), [(8, 2.180, 17.535), (40, 24.433, 59.342)])
def test_the_quantiles_of_chi_square(n, low, high):
    assert _chi_square(n, -1.96) == pytest.approx(low, rel=0.03)
    assert _chi_square(n, 1.96) == pytest.approx(high, rel=0.01)
