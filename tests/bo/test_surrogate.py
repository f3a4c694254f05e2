import math

import pytest
import torch
from gpytorch.kernels import MaternKernel, RBFKernel

from bayesft.bo import surrogate as module
from bayesft.bo.errors import SurrogateError
from bayesft.bo.kernels import matern, rbf
from bayesft.bo.likelihood import loss_and_gradient
from bayesft.bo.surrogate import FIT_ERRORS, fit, posterior
from tests.helpers.rows import sobol
from tests.helpers.surrogates import length_scales

NAN = math.nan

pytestmark = pytest.mark.usefixtures("in_isolation")


def _wave(rows):
    return torch.sin(4 * rows[:, 0]) + rows[:, 1] ** 2


def _learnt_noise(surrogate):
    """Return the noise beyond the known, as a standard deviation of values that are not warped."""
    return surrogate.units.scale * surrogate.gp.likelihood.second_noise.sqrt().item()


def test_a_smooth_function_is_recovered_where_it_was_not_seen():
    rows, elsewhere = sobol(40, 2), sobol(200, 2, seed=1)
    surrogate = fit(rows, _wave(rows), torch.full((40,), 1e-4))
    mean, std = posterior(surrogate, elsewhere)
    error = (mean - _wave(elsewhere)).abs()
    assert mean.shape == std.shape == (200,)
    # The function's standard deviation is about 0.7; a constant would miss by that.
    assert error.square().mean().sqrt() < 0.03
    # A 4-sigma miss has probability 6e-5 each if the belief is honest.
    assert (error < 4 * std + 1e-3).all()


def test_a_column_that_does_not_matter_gets_a_long_length_scale():
    rows = sobol(40, 3)
    scales = length_scales(fit(rows, _wave(rows), torch.full((40,), NAN)))
    assert len(scales) == 3
    assert scales[2] > 5 * max(scales[:2])


@pytest.mark.parametrize("frequency", [2.0, 12.0])
def test_what_is_learnt_of_one_column_is_expected_of_another(frequency):
    """Of the logs' variance of 3 they share 2: one that never moved follows by two thirds."""
    rows = sobol(24, 2)
    rows[:, 1] = 0.5
    scales = length_scales(fit(rows, torch.sin(frequency * rows[:, 0]), torch.full((24,), 0.01)))
    mean = math.sqrt(2) + math.log(2) / 2
    moved, still = (math.log(scale) - mean for scale in scales)
    assert still == pytest.approx(2 / 3 * moved, abs=0.02)


def test_beside_a_trend_the_columns_share_nothing():
    rows = sobol(24, 3)
    rows[:, 1] = 0.5
    values = torch.sin(6 * rows[:, 0]) + 3 * rows[:, -1]
    scales = length_scales(fit(rows, values, torch.full((24,), 0.01), changing=True))
    assert math.log(scales[1]) == pytest.approx(math.sqrt(2) + math.log(2) / 2 - 3, abs=0.02)


def test_a_doubtful_observation_pulls_less():
    rows = torch.linspace(0, 1, 11).unsqueeze(-1)
    values = torch.sin(3 * rows[:, 0])
    truth = values[5].item()
    values[5] += 2.0
    pulls = []
    for doubt in (0.05, 2.0):
        stderrs = torch.full((11,), 0.05)
        stderrs[5] = doubt
        pulls.append(posterior(fit(rows, values, stderrs), rows[5:6])[0].item() - truth)
    # Ten neighbours are 40 times surer: what is left of the outlier's 2.0 is little.
    assert abs(pulls[1]) < 0.2
    assert pulls[0] > abs(pulls[1]) + 0.1


def test_noise_beyond_the_known_is_learnt_and_not_interpolated():
    n, stderr, noise = 60, 0.05, 0.25
    rows = sobol(n, 1)
    values = torch.sin(3 * rows[:, 0]) + noise * torch.randn(n)
    surrogate = fit(rows, values, torch.full((n,), stderr))
    residual = (posterior(surrogate, rows)[0] - values).square().mean().sqrt()
    # A standard deviation from about 55 degrees of freedom is known to 1/sqrt(110) = 10 %;
    # three of those either way. An interpolation has residuals of 0.05 at most.
    assert 0.7 * noise < residual < 1.3 * noise
    assert 0.7 * noise < _learnt_noise(surrogate) < 1.3 * noise


def test_known_noise_is_not_learnt_a_second_time():
    n, noise = 60, 0.25
    rows = sobol(n, 1)
    values = torch.sin(3 * rows[:, 0]) + noise * torch.randn(n)
    known = fit(rows, values, torch.full((n,), noise))
    unknown = fit(rows, values, torch.full((n,), NAN))
    # 10 % uncertainty of the total leaves sqrt(1.1^2 - 1) = 46 % of it for the rest.
    assert _learnt_noise(known) < 0.5 * noise
    assert 0.7 * noise < _learnt_noise(unknown) < 1.3 * noise


def test_a_missing_standard_error_is_the_median_of_the_known():
    rows, values = sobol(9, 1), torch.randn(9)
    stderrs = torch.tensor([0.1, 0.2, 0.4, NAN, 0.1, 0.2, 0.4, NAN, 0.2])
    filled = torch.where(stderrs.isnan(), 0.2, stderrs)
    assert torch.equal(
        posterior(fit(rows, values, stderrs), rows)[0],
        posterior(fit(rows, values, filled), rows)[0],
    )


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e4, -3e4)])
def test_the_units_of_the_values_do_not_matter(scale, shift):
    rows, stderrs = sobol(15, 2), torch.full((15,), 0.05)
    values, elsewhere = _wave(rows), sobol(20, 2, seed=1)
    mean, std = posterior(fit(rows, values, stderrs), elsewhere)
    other, other_std = posterior(fit(rows, scale * values + shift, scale * stderrs), elsewhere)
    # The fit stops at a relative change of 2e-9 of the likelihood, flat at its
    # maximum: rounding may move the length scales by the root of that.
    torch.testing.assert_close((other - shift) / scale, mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(other_std / scale, std, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stderr", [NAN, 0.0, 0.3])
@pytest.mark.parametrize("values", [[2.0] * 6, [0.1 + 0.2, 0.3] * 3, [0.0] * 6, [5.0]])
def test_equal_values_are_believed(values, stderr):
    n = len(values)
    mean, std = posterior(
        fit(sobol(n, 2), torch.tensor(values), torch.full((n,), stderr)), sobol(9, 2, seed=1)
    )
    torch.testing.assert_close(mean, torch.full((9,), values[0]), rtol=1e-6, atol=1e-6)
    assert (std > 0).all()


@pytest.mark.parametrize("error", FIT_ERRORS)
def test_a_failed_fit_is_one_clear_error(monkeypatch, error):
    def fail(mll, closure):
        raise error("not positive definite")

    monkeypatch.setattr(module, "fit_gpytorch_mll", fail)
    with pytest.raises(SurrogateError, match=r"fitted to 6 trials: .*not positive definite"):
        fit(sobol(6, 2), torch.randn(6), torch.full((6,), NAN))


def test_a_smooth_function_is_told_from_noise_that_nobody_reported():
    def kernel(values, stderr):
        surrogate = fit(rows, values, torch.full((40,), stderr))
        return type(surrogate.gp.covar_module.base_kernel)

    rows = sobol(40, 1)
    smooth, noise = torch.sin(6 * rows[:, 0]), 0.1 * torch.randn(40)
    zigzag = (12 * rows[:, 0] % 2 - 1).abs()
    assert kernel(smooth + noise, NAN) is RBFKernel
    # The kernel whose matrix stays well conditioned: nothing has to be told from noise.
    assert kernel(smooth, NAN) is MaternKernel
    assert kernel(smooth + noise, 0.1) is MaternKernel
    # What is not smooth is not taken for it.
    assert kernel(zigzag + noise, NAN) is MaternKernel


def test_a_smooth_kernel_that_cannot_be_fitted_is_left(monkeypatch):
    def fail(mll, closure):
        if isinstance(mll.model.covar_module.base_kernel, RBFKernel):
            raise FIT_ERRORS[0]("not positive definite")
        return fitted(mll, closure=closure)

    fitted = module.fit_gpytorch_mll
    monkeypatch.setattr(module, "fit_gpytorch_mll", fail)
    rows = sobol(40, 1)
    values = torch.sin(6 * rows[:, 0]) + 0.1 * torch.randn(40)
    surrogate = fit(rows, values, torch.full((40,), NAN))
    assert isinstance(surrogate.gp.covar_module.base_kernel, MaternKernel)


@pytest.mark.parametrize("stderr", [NAN, 0.3])
@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("family", [matern, rbf])
def test_the_likelihood_is_gpytorchs(stderr, changing, family, monkeypatch):
    monkeypatch.setattr(module, "matern", family)
    rows = sobol(12, 3)
    rows[5] = rows[4]
    values = _wave(rows) + 0.1 * torch.randn(12)
    surrogate = fit(rows, values, torch.full((12,), stderr), changing=changing)
    mll = module.ExactMarginalLogLikelihood(surrogate.gp.likelihood, surrogate.gp)
    loss, gradient = loss_and_gradient(mll)()
    mll.train()
    expected = -mll(surrogate.gp(rows), surrogate.gp.train_targets)
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-8)
    expected.backward()
    for ours, parameter in zip(gradient, mll.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=1e-7)
