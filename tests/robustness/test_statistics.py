"""Errors of means and areas whose draws are shared, and of quantiles."""

import math

import numpy as np
import pytest
from scipy.stats import quantile_test

from bayesft.errors import SettingError
from bayesft.robustness import Curve, CurvePoint, paired_difference
from bayesft.robustness import statistics as stats
from bayesft.robustness.sequential import Spread
from bayesft.robustness.statistics import as_array


def simulated(rng, rows, strata, counts):
    """Scores of draws that two sigmas share, `counts[i][h]` of them in stratum h of row i."""
    length = strata * max(max(row) for row in counts)
    common = rng.normal(size=length)
    table = np.full((rows, length), np.nan)
    for i, row in enumerate(counts):
        for h, count in enumerate(row):
            places = np.arange(h, strata * count, strata)
            table[i, places] = common[places] + 0.5 * rng.normal(size=count)
    return table


@pytest.mark.parametrize(
    ("strata", "counts"),
    [(1, [[30], [30]]), (2, [[20, 20], [20, 20]]), (2, [[10, 12], [30, 25]]), (1, [[8], [40]])],
)
def test_the_stated_error_of_a_combination_is_its_spread(strata, counts):
    """Over 4000 simulations: of a sum, of a difference, of one row."""
    rng = np.random.default_rng(0)
    tables = [simulated(rng, 2, strata, counts) for _ in range(4000)]
    for weights in ([0.5, 0.5], [1.0, -1.0], [1.0, 0.0]):
        values = [
            sum(w * stats.mean(row, strata) for w, row in zip(weights, table, strict=True))
            for table in tables
        ]
        stated = [stats.combined_stderr(table, weights, strata) ** 2 for table in tables]
        # The variance of 4000 means has a relative error of sqrt(2 / 4000).
        assert np.mean(stated) == pytest.approx(np.var(values), rel=5 * math.sqrt(2 / 4000))


def test_one_stratum_is_the_textbook():
    scores = np.random.default_rng(1).normal(size=(3, 50))
    means = scores.mean(axis=0)
    assert stats.combined_stderr(scores, [1 / 3] * 3) == pytest.approx(
        means.std(ddof=1) / math.sqrt(50)
    )
    assert stats.std(scores[0]) == pytest.approx(scores[0].std(ddof=1))
    assert stats.mean(scores[0]) == pytest.approx(scores[0].mean())
    assert stats.covariances(scores) == pytest.approx(np.cov(scores) / 50)


@pytest.mark.parametrize("strata", [1, 3])
def test_the_error_of_a_mean_is_that_of_a_combination_of_one(strata):
    """Of strata that have other numbers of scores too."""
    scores = np.random.default_rng(0).random(20)
    scores[[0, 3, 6, 9, 13]] = np.nan
    expected = stats.combined_stderr(scores[None], [1.0], strata)
    assert stats.stderr(scores, strata) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(stats.stderr(np.array([0.4]), 1))


@pytest.mark.parametrize("count", [3, 7, 30, 88])
def test_scores_that_agree_have_no_spread_whatever_they_are(count):
    """Their sum over how many they are may be another number in the last bit."""
    for score in (k / 30 for k in range(31)):
        scores = np.full(count, score)
        assert stats.mean(scores) == score
        assert stats.std(scores) == stats.stderr(scores) == 0
        assert Spread.of([score] * count) == (count, score, 0)


def test_a_single_draw_has_no_error():
    assert math.isnan(stats.combined_stderr(as_array([[0.5], [0.4]]), [0.5, 0.5]))
    assert math.isnan(stats.std(as_array([[0.5]])[0]))


def test_the_area_is_the_trapezoid_rule():
    sigmas = [0.0, 0.1, 0.5, 2.0]
    heights = np.array([1.0, 0.9, 0.4, 0.1])
    weights = stats.trapezoid_weights(sigmas)
    assert weights @ heights == pytest.approx(np.trapezoid(heights, sigmas) / 2.0)
    assert sum(weights) == pytest.approx(1)
    assert stats.trapezoid_weights([0.7]) == [1.0]


def curve_of(scores, sigmas=(0.0, 0.5, 2.0), **settings) -> Curve:
    points = tuple(
        CurvePoint.from_scores(sigma, row, images=10 * len(row), **settings)
        for sigma, row in zip(sigmas, scores, strict=True)
    )
    return Curve(points, tuple(map(tuple, scores)), 0)


def test_the_areas_error_knows_that_the_sigmas_share_draws():
    chips = np.random.default_rng(2).normal(0.5, 0.1, size=200)
    curve = curve_of([chips, chips, chips])
    # Three times the same scores: averaging them gains nothing.
    assert curve.auc == pytest.approx(chips.mean())
    assert curve.auc_stderr == pytest.approx(chips.std(ddof=1) / math.sqrt(200))


def test_a_quantiles_interval_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(3)
    true = -math.log(0.95)  # the 5 % quantile of the exponential distribution
    held = 0
    for _ in range(1000):
        low, high = stats.quantile_interval(rng.exponential(size=100), 0.05)
        held += low <= true <= high
    # Order statistics promise at least 95 %.
    assert held >= 950 - 4 * math.sqrt(1000 * 0.95 * 0.05)


@pytest.mark.parametrize("count", [1, 2, 20, 71, 72, 73, 200, 1000])
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_a_quantiles_interval_is_scipys(count, level):
    scores = np.random.default_rng(count).normal(size=count)
    expected = quantile_test(scores, p=level).confidence_interval(0.95)
    assert stats.quantile_interval(scores, level) == pytest.approx(
        (expected.low, expected.high), nan_ok=True
    )


def test_a_quantiles_lower_end_takes_many_draws():
    low, high = stats.quantile_interval(np.linspace(0, 1, 20), 0.05)
    assert math.isnan(low)
    assert high > 0.05
    assert stats.quantile_interval(np.linspace(0, 1, 200), 0.05)[0] > 0


def test_a_point_tells_the_worst_draw_and_the_quantile_with_its_interval():
    scores = np.linspace(0.2, 1.0, 100)
    point = CurvePoint.from_scores(0.5, list(scores), images=1000)
    assert point.worst == 0.2
    assert point.quantile05 == pytest.approx(np.quantile(scores, 0.05))
    assert point.quantile05_low < point.quantile05 < point.quantile05_high
    low, high = point.interval()
    assert (low + high) / 2 == pytest.approx(point.mean)
    assert high - point.mean == pytest.approx(1.984 * point.stderr, rel=0.01)


def test_ten_images_that_are_all_right_do_not_make_it_certain():
    point = CurvePoint.from_scores(0.0, [1.0] * 5, images=10)
    assert (point.mean, point.stderr) == (1.0, 0.0)
    assert point.interval()[0] == pytest.approx(0.7)
    assert CurvePoint.from_scores(0.0, [1.0] * 5, images=10, worst_score=1.0).unseen == 0


def test_where_all_chips_agree_each_is_one_try_however_many_images_it_saw():
    """One that breaks spoils all of its images together."""
    assert CurvePoint.from_scores(0.1, [1.0] * 50, images=5000).interval()[0] == pytest.approx(0.94)
    assert CurvePoint.from_scores(0.0, [1.0] * 50, images=5000).unseen == pytest.approx(0.0006)
    assert CurvePoint.from_scores(0.1, [1.0, 0.99] * 25, images=5000).unseen < 0.0006


def test_scores_that_are_all_the_worst_are_not_certain_either():
    point = CurvePoint.from_scores(0.9, [0.0] * 30, images=300)
    assert point.interval()[1] == pytest.approx(0.1)
    known = CurvePoint.from_scores(0.9, [0.0] * 30, images=300, best_score=0.5)
    assert known.interval()[1] == pytest.approx(0.05)


@pytest.mark.parametrize("confidence", [95, 0, 1, -0.5])
def test_a_confidence_that_is_none_is_told(confidence):
    point = CurvePoint.from_scores(0.1, [0.5, 0.6], images=2)
    with pytest.raises(SettingError, match=f"`confidence`.*between 0 and 1, but got {confidence}"):
        point.interval(confidence)


def test_a_paired_difference_at_each_sigma():
    rng = np.random.default_rng(4)
    chips = rng.normal(0.5, 0.1, size=100)
    ours, theirs = [chips + 0.02, chips + 0.05, chips], [chips, chips, chips]
    difference = paired_difference(curve_of(ours), curve_of(theirs))
    assert [point.value for point in difference.points] == pytest.approx([0.02, 0.05, 0.0])
    # The chips do the same to both: nothing is left to be unsure of.
    assert max(point.stderr for point in difference.points) < 1e-9
    assert difference.value == pytest.approx(0.07 / 3)


def test_intervals_of_few_draws_are_students():
    """For curve and difference as for a point: 2.776 standard errors with five draws, not 1.96."""
    rng = np.random.default_rng(5)
    ours, theirs = rng.normal(0.5, 0.1, size=(2, 3, 5))
    difference = paired_difference(curve_of(ours), curve_of(theirs))
    curve = curve_of(ours)
    for found in (difference, difference.points[1]):
        low, high = found.interval()
        assert (low + high) / 2 == pytest.approx(found.value)
        assert high - low == pytest.approx(2 * 2.776 * found.stderr, rel=1e-3)
    low, high = curve.interval()
    margin = math.hypot(2.776 * curve.stderr, np.mean([p.unseen for p in curve.points]))
    assert (high - low) / 2 == pytest.approx(margin, rel=1e-3)
    # Of the draws that both have.
    shorter = paired_difference(curve, curve_of([row[:3] for row in theirs]))
    assert [point.degrees for point in shorter.points] == [2, 2, 2]
    with pytest.raises(SettingError, match="`confidence`"):
        difference.interval(95)


def test_a_part_of_a_curve():
    curve = Curve(tuple(CurvePoint.from_scores(s, [0.5, 1.0], images=2) for s in (0.0, 0.3, 0.6)))
    assert curve.at([0.6, 0.0]).sigmas == (0.0, 0.6)
    with pytest.raises(SettingError, match=r"no value at sigma \[0.5\]; it has \(0.0, 0.3, 0.6\)"):
        curve.at([0.5])
    with pytest.raises(SettingError, match=r"`sigmas` to be a list, but got 0.3: try \[0.3\]"):
        curve.at(0.3)
