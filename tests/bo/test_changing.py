"""A search whose value changes as it goes on: trials carry their progress."""

import random
import statistics
from dataclasses import replace

import pytest
import torch

from bayesft.bo.errors import OptimizerError, TrialError
from bayesft.bo.improvement import LogNoisyImprovement, at_progress
from bayesft.bo.isolation import isolated
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.space import Real, Space
from bayesft.bo.surrogate import fit, posterior
from bayesft.bo.trend import trend_of
from bayesft.bo.trial import Trial

PLANE = Space({"x": Real(0, 1), "y": Real(0, 1)})
NOISE = 0.02


def hill(x, y):
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2


def rising(progress):
    """Ten times as much as the hill is high, most of it in the beginning."""
    return 5 * (1 - (1 - progress) ** 3)


def searched(seed, *, changing, count=20):
    luck = random.Random(seed)
    optimizer = Optimizer(PLANE, seed=seed, changing=changing)
    for number in range(count):
        progress = (number + 1) / count
        optimizer.ask(progress=progress if changing else None)
        [trial] = optimizer.pending
        value = rising(progress) + hill(**trial.params) + luck.gauss(0, NOISE)
        optimizer.tell(replace(trial, state="finished", value=value, stderr=NOISE))
    return optimizer


@pytest.mark.slow
def test_what_all_points_share_is_not_taken_for_a_points_own():
    """Without the progress the last trial looks like the best one, whatever its point."""
    aware, ignorant = (
        statistics.median(hill(**searched(s, changing=changing).best().params) for s in range(3))
        for changing in (True, False)
    )
    assert aware > -0.02
    assert aware > ignorant


def test_an_optimum_that_moves_is_followed():
    def value(x, progress):
        return -((x - 0.2 - 0.6 * progress) ** 2)

    optimizer = Optimizer(Space({"x": Real(0, 1)}), changing=True, n_initial=6)
    for number in range(24):
        [params] = optimizer.ask(progress=(number + 1) / 24)
        [trial] = optimizer.pending
        told = value(params["x"], trial.progress)
        optimizer.tell(replace(trial, state="finished", value=told, stderr=0.005))
    assert optimizer.best(progress=1.0).params["x"] == pytest.approx(0.8, abs=0.1)
    early = optimizer.best(progress=0.1).params["x"]
    assert early < optimizer.best().params["x"] < optimizer.best(progress=1.0).params["x"]


def test_the_kernel_is_a_surface_plus_a_trend():
    with isolated(0):
        rows = torch.rand(14, 3)
        values = rows[:, 0] + 3 * rows[:, -1]
        surrogate = fit(rows, values, torch.full((14,), 0.01), changing=True)
        kernel = surrogate.gp.covar_module
        trend = trend_of(kernel)
        expected = kernel.outputscale * kernel.base_kernel(rows).to_dense()
        expected = expected + trend.outputscale * trend.base_kernel(rows[:, -1:]).to_dense()
        torch.testing.assert_close(kernel(rows).to_dense(), expected)
        variance = kernel.outputscale + trend.outputscale
        torch.testing.assert_close(kernel(rows, diag=True), variance.expand(14))


def test_improvement_is_over_what_the_tried_points_would_be_worth_now():
    with isolated(0):
        rows = torch.rand(12, 2)
        values = -((rows[:, 0] - 0.5) ** 2) + 2 * rows[:, 1]
        surrogate = fit(rows, values, torch.full((12,), 1e-4), changing=True)
        improvement = LogNoisyImprovement(surrogate, torch.empty(0, 2), 0, progress=0.1)
        # Late trials had large values; at 0.1 they would have had small ones.
        now, _ = posterior(surrogate, at_progress(rows[:, :1], 0.1))
        highest = surrogate.units.standardise(now.max())
        torch.testing.assert_close(improvement.best.mean(), highest, rtol=0.05, atol=0.05)
        assert improvement.best.max() < surrogate.units.standardise(values.max())


def test_asking_does_not_depend_on_the_questions_before():
    first, second = searched(0, changing=True, count=9), searched(0, changing=True, count=9)
    second.best()
    second.insight()
    assert second.expected_improvement(progress=0.5) is not None
    assert first.ask(progress=1.0) == second.ask(progress=1.0)
    rebuilt = Optimizer(PLANE, seed=0, changing=True, trials=first.trials[:9])
    assert rebuilt.ask(progress=1.0)[0] == first.trials[9].params


def test_the_insight_has_the_progress_as_a_dimension():
    optimizer = searched(0, changing=True)
    insight = optimizer.insight()
    assert sorted(influence.name for influence in insight.influences) == ["progress", "x", "y"]
    # Three length scales, variance, noise and mean, and the trend's length scale and variance.
    assert insight.parameters == 8


def test_progress_where_it_is_needed_and_nowhere_else():
    changing, constant = Optimizer(PLANE, changing=True), Optimizer(PLANE)
    with pytest.raises(OptimizerError, match="expected `progress`, from 0 to 1, but got None"):
        changing.ask()
    with pytest.raises(OptimizerError, match="expected `progress`"):
        changing.tell(Trial(0, {"x": 0, "y": 0}))
    with pytest.raises(OptimizerError, match=r"Expected no `progress`.*got 0\.5.*changing=True"):
        constant.ask(progress=0.5)
    with pytest.raises(TrialError, match=r"`progress` to be from 0 to 1, but got 1\.5"):
        changing.ask(progress=1.5)
    with pytest.raises(OptimizerError, match="has a dimension 'progress'"):
        Optimizer(Space({"progress": Real(0, 1)}), changing=True)
