"""Each trial predicted from the others, and whether a fit can be read."""

import math
import random
from dataclasses import replace

import pytest
import torch

from bayesft.bo.explain import leave_one_out
from bayesft.bo.insight import Calibration
from bayesft.bo.isolation import isolated
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.trial import Trial
from tests.helpers.surrogates import cube, noisy_fit, told


def test_the_closed_form_is_what_leaving_each_out_gives():
    """With the hyperparameters as they are, each trial's own known noise and the learnt one."""
    surrogate = noisy_fit()
    gp, n = surrogate.gp, 14
    means, sds, residuals = leave_one_out(surrogate)
    rows, targets = gp.train_inputs[0], gp.train_targets
    with isolated(0), torch.no_grad():
        kernel = gp.covar_module(rows).to_dense()
        noise = gp.likelihood.noise_covar.noise + gp.likelihood.second_noise
        constant = gp.mean_module.constant
        for i in range(n):
            rest = [j for j in range(n) if j != i]
            weights = torch.linalg.solve((kernel + noise.diag())[rest][:, rest], kernel[rest, i])
            mean = constant + weights @ (targets[rest] - constant)
            variance = kernel[i, i] + noise[i] - weights @ kernel[rest, i]
            scaled, sd = surrogate.units.summary(mean, variance.sqrt())
            assert means[i].item() == pytest.approx(scaled.item(), abs=1e-8)
            assert sds[i].item() == pytest.approx(sd.item())
            assert residuals[i].item() == pytest.approx(
                ((targets[i] - mean) / variance.sqrt()).item()
            )


def test_a_failed_trial_is_not_predicted():
    optimizer = told(cube(2), lambda x0, x1: x0, 10)
    optimizer.tell(Trial(10, {"x0": 0.5, "x1": 0.5}, state="failed", reason="none"))
    optimizer.tell(Trial(11, {"x0": 0.4, "x1": 0.5}))
    insight = optimizer.insight()
    assert [trial.number for trial in insight.trials] == list(range(10))
    assert insight.calibration.observed == tuple(trial.value for trial in insight.trials)
    assert len(insight.calibration.predicted) == 10


@pytest.mark.slow
def test_pure_noise_is_not_read():
    """The noise is larger than its stated error, so that the fit has to learn it."""
    read = 0
    for seed in range(10):
        luck, optimizer = random.Random(seed), Optimizer(cube(3), seed=seed)
        for number in range(20):
            params = {f"x{i}": luck.random() for i in range(3)}
            value = luck.gauss(0, 1)
            optimizer.tell(Trial(number, params, state="finished", value=value, stderr=0.05))
        read += optimizer.insight().doubt is None
    # Each with probability 1/40 at most: three of ten have 2e-3.
    assert read <= 2


def test_noise_that_is_said_to_be_less_than_it_is_in_one_place_is_found_overconfident():
    """Wrong hyperparameters: the noise of a fit to smooth values, then noisy ones."""
    optimizer = told(cube(1), lambda x0: 3 * x0, 30, noise=0, stderr=0.001)
    surrogate = optimizer._belief.fitted(optimizer._ended())[0]
    luck = torch.Generator().manual_seed(0)
    noise = torch.randn(30, generator=luck, dtype=torch.float64)
    surrogate.gp.train_targets = surrogate.gp.train_targets + 0.2 * noise
    observed = surrogate.units.restore(surrogate.gp.train_targets)
    left_out = leave_one_out(surrogate)
    calibration = Calibration(*(tuple(t.tolist()) for t in (observed, *left_out)))
    insight = replace(optimizer.insight(), calibration=calibration)
    assert insight.doubt.startswith("overconfident")


def test_a_warped_scale_does_not_make_a_right_fit_overconfident():
    """Values whose logarithm is a Gaussian process with noise: in their own units they are skew."""
    doubts, squares = [], []
    for seed in range(5):
        luck, optimizer = random.Random(seed), Optimizer(cube(1), seed=seed)
        for number in range(30):
            x = luck.random()
            value = math.exp(2 * math.sin(4 * x + seed) + luck.gauss(0, 1))
            optimizer.tell(Trial(number, {"x0": x}, state="finished", value=value))
        insight = optimizer.insight()
        assert optimizer._belief.fitted(optimizer._ended())[0].units.power < 0.7
        squares.append(insight.calibration.mean_square)
        doubts.append(insight.doubt or "")
    # Of 150 residuals the mean square is known to sqrt(2 / 150) = 0.12; as the hyperparameters
    # have seen them all, it may be more wrong.
    assert 0.7 < sum(squares) / 5 < 1.5
    assert not any(doubt.startswith("overconfident") for doubt in doubts)
