"""How uncertain hyperparameters are."""

import pytest
import torch
from gpytorch.mlls import ExactMarginalLogLikelihood

from bayesft.bo import laplace
from bayesft.bo.kernels import SHORTEST_LENGTH_SCALE, matern, rbf
from bayesft.bo.laplace import SMALLEST_CURVATURE, curvature, plausible
from bayesft.bo.surrogate import SMALLEST_LEARNT_VARIANCE, fit
from tests.helpers.surrogates import length_scales, noisy_fit

pytestmark = pytest.mark.usefixtures("in_isolation")


def drawn(surrogate, count=2000):
    """Return what is fitted to a length scale, a row for each draw."""
    kernel, generator = surrogate.gp.covar_module.base_kernel, torch.Generator().manual_seed(0)
    rows = [
        kernel.raw_lengthscale.detach().flatten().clone()
        for _ in plausible(surrogate, count, generator)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("family", [matern, rbf])
def test_the_curvature_is_that_of_the_fitted_likelihood(d, family, monkeypatch):
    """Against second differences of what the fit maximises."""
    monkeypatch.setattr("bayesft.bo.surrogate.matern", family)
    surrogate = noisy_fit(d=d)
    found = curvature(surrogate)
    gp = surrogate.gp.train()
    mll = ExactMarginalLogLikelihood(gp.likelihood, gp)
    # All are fitted as logarithms of what they have over their bounds, but the mean.
    parameters = [
        gp.covar_module.base_kernel.raw_lengthscale,
        gp.covar_module.raw_outputscale,
        gp.mean_module.raw_constant,
        gp.likelihood.second_noise_covar.raw_noise,
    ]
    start = torch.cat([p.detach().flatten() for p in parameters])

    def value(point):
        with torch.no_grad():
            for parameter, part in zip(parameters, point.split([d, 1, 1, 1]), strict=True):
                parameter.copy_(part.reshape(parameter.shape))
            output = gp(*gp.train_inputs)
            return 14 * mll(output, gp.train_targets, gp.train_inputs).item()

    step = 1e-3 * torch.eye(d + 3)
    hessian = torch.tensor([
        [
            (value(start + a + b) - value(start + a - b) - value(start - a + b)
             + value(start - a - b)) / 4e-6
            for b in step
        ]
        for a in step
    ])  # fmt: skip
    torch.testing.assert_close(found, -hessian, rtol=1e-2, atol=1e-3)


def test_draws_are_normal_around_the_fit_and_leave_it_as_it_was():
    """Means to five standard errors, covariances likewise."""
    surrogate, count = noisy_fit(), 2000
    before = {name: value.clone() for name, value in surrogate.gp.state_dict().items()}
    centre = surrogate.gp.covar_module.base_kernel.raw_lengthscale.detach().flatten().clone()
    covariance = torch.linalg.inv(curvature(surrogate))[:3, :3]
    rows = drawn(surrogate, count)
    variances = covariance.diagonal()
    assert ((rows.mean(0) - centre).abs() < 5 * (variances / count).sqrt()).all()
    limit = 5 * ((variances.outer(variances) + covariance.square()) / count).sqrt()
    assert ((rows.T.cov() - covariance).abs() < limit).all()
    for name, value in surrogate.gp.state_dict().items():
        assert torch.equal(value, before[name])


def test_one_that_stops_in_the_middle_leaves_the_fit_as_it_was():
    surrogate = noisy_fit()
    scales = length_scales(surrogate)
    draws = plausible(surrogate, 10, torch.Generator().manual_seed(0))
    next(draws)
    assert length_scales(surrogate) != scales
    draws.close()
    assert length_scales(surrogate) == scales


def test_where_the_trials_say_nothing_a_length_scale_is_what_the_prior_makes_of_the_others():
    """The logs have variance 3 and share 2: given the first, the second has 3 - 2^2 / 3."""
    luck = torch.Generator().manual_seed(0)
    rows = torch.rand(12, 2, generator=luck)
    rows[:, 1] = 0.5
    surrogate = fit(rows, torch.sin(4 * rows[:, 0]), torch.full((12,), 0.05))
    scales = torch.tensor(length_scales(surrogate))
    # From the log of what a length scale has over its bound to its own log.
    slope = (scales - SHORTEST_LENGTH_SCALE) / scales
    covariance = torch.linalg.inv(curvature(surrogate))[:2, :2] * slope * slope.unsqueeze(-1)
    expected = 5 / 3 + (2 / 3) ** 2 * covariance[0, 0].item()
    assert covariance[1, 1].item() == pytest.approx(expected, rel=1e-3)
    assert covariance[0, 0] < 0.3


def test_what_does_not_curve_is_uncertain_by_two_in_the_log(monkeypatch):
    def saddle(surrogate):
        size = sum(p.numel() for p in laplace._fitted(surrogate))
        return torch.diag(torch.tensor([-3.0, 0.0, 100.0] + [1.0] * (size - 3)))

    monkeypatch.setattr(laplace, "curvature", saddle)
    spreads = drawn(noisy_fit()).std(0)
    # A standard deviation of n draws errs by 1/sqrt(2n) of it.
    wide = SMALLEST_CURVATURE**-0.5
    assert spreads.tolist() == pytest.approx([wide, wide, 0.1], rel=5 / 4000**0.5)


def test_noise_that_is_fitted_to_nothing_is_left_at_that():
    surrogate = noisy_fit()
    surrogate.gp.likelihood.second_noise_covar.raw_noise.data.fill_(-60.0)
    noise = surrogate.gp.likelihood.second_noise.item()
    assert noise == pytest.approx(SMALLEST_LEARNT_VARIANCE)
    for each in plausible(surrogate, 5, torch.Generator().manual_seed(0)):
        assert each.gp.likelihood.second_noise.item() == noise
