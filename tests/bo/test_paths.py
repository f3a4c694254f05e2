"""Functions drawn from the posterior."""

import math

import pytest
import torch

from bayesft.bo.kernels import frequencies, matern, radial, rbf, surface
from bayesft.bo.paths import draw_path
from bayesft.bo.surrogate import fit
from tests.helpers.rows import sobol
from tests.helpers.surrogates import noisy_fit, rising_fit

pytestmark = pytest.mark.usefixtures("in_isolation")


def paths(surrogate, rows, count):
    generator = torch.Generator().manual_seed(0)
    return torch.stack([draw_path(surrogate, rows, generator) for _ in range(count)])


@pytest.mark.parametrize("made", [noisy_fit, rising_fit])
def test_many_have_mean_and_covariance_of_the_posterior(made):
    """A covariance of n draws errs by sqrt((vw + c^2) / n), here to five of these."""
    surrogate, count = made(), 1000
    rows = sobol(6, 3, seed=1)
    belief = surrogate.gp.posterior(rows)
    covariance = belief.distribution.covariance_matrix.detach()
    variances = covariance.diagonal()
    drawn = paths(surrogate, rows, count)
    error = (drawn.mean(0) - belief.mean.detach().squeeze(-1)).abs()
    assert (error < 5 * (variances / count).sqrt()).all()
    limit = 5 * ((variances.outer(variances) + covariance.square()) / count).sqrt()
    assert ((drawn.T.cov() - covariance).abs() < limit).all()


def test_a_trend_that_the_trials_do_not_tell_is_in_them():
    """Far from four trials nearly all is the prior's, and of that nine parts are the trend's."""
    surrogate, count = rising_fit(4), 2000
    kernel = surrogate.gp.covar_module
    kernel.outputscale, kernel.trend.outputscale = 0.1, 0.9
    kernel.trend.base_kernel.lengthscale = 0.1
    rows = torch.tensor([[0.5, 0.5, 0.05], [0.5, 0.5, 0.55]])
    covariance = surrogate.gp.posterior(rows).distribution.covariance_matrix.detach()
    assert covariance.diagonal().max() > 0.5
    variances = covariance.diagonal()
    limit = 5 * ((variances.outer(variances) + covariance.square()) / count).sqrt()
    assert ((paths(surrogate, rows, count).T.cov() - covariance).abs() < limit).all()


def test_they_meet_the_trials_but_for_the_noise():
    rows = sobol(16, 2)
    values = torch.sin(4 * rows[:, 0]) + rows[:, 1]
    surrogate = fit(rows, values, torch.full((16,), 1e-6))
    standard = surrogate.units.standardise(values)
    noise = surrogate.gp.likelihood.second_noise.sqrt().item()
    for path in paths(surrogate, rows, 3):
        assert (path - standard).abs().max() < 5 * noise
    apart = paths(surrogate, sobol(200, 2, seed=1), 2)
    assert (apart[0] - apart[1]).abs().max() > 10 * noise


@pytest.mark.parametrize("family", [matern, rbf])
def test_the_waves_have_the_kernels_covariance(family):
    """The mean of n cosines errs by at most 1/sqrt(n), here to four of these."""
    kernel = surface(family, 2, 1.0).base_kernel
    kernel.lengthscale = torch.tensor([[0.3, 2.0]])
    drawn = frequencies(kernel, 20_000, torch.Generator().manual_seed(0))
    for apart in ([0.1, 0.0], [0.5, 0.3], [0.0, 3.0], [0.3, 2.0]):
        squares = (torch.tensor(apart) / kernel.lengthscale[0]).square().sum()
        cosines = (drawn @ torch.tensor(apart)).cos()
        assert cosines.mean() == pytest.approx(
            radial(kernel, squares).item(), abs=4 / math.sqrt(20_000)
        )


def test_one_is_a_function_of_the_generator_alone():
    surrogate, rows = noisy_fit(), sobol(5, 3)
    state = torch.get_rng_state()
    first = paths(surrogate, rows, 2)
    assert torch.equal(first, paths(surrogate, rows, 2))
    assert not torch.equal(first[0], first[1])
    assert torch.equal(torch.get_rng_state(), state)
