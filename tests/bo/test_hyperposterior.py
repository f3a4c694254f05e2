"""How uncertain hyperparameters are."""

import math

import pytest
import torch
from torch.distributions import Gamma, MultivariateNormal, Normal

from bayesft.bo import hyperposterior
from bayesft.bo.errors import SurrogateError
from bayesft.bo.hyperposterior import LogDensity, plausible
from bayesft.bo.kernels import SHORTEST_LENGTH_SCALE, SMALLEST_KERNEL_VARIANCE
from bayesft.bo.surrogate import SMALLEST_LEARNT_VARIANCE, fit
from tests.helpers.surrogates import length_scales, noisy_fit, rising_fit

pytestmark = pytest.mark.usefixtures("in_isolation")


def generator():
    return torch.Generator().manual_seed(0)


class Known:
    """A density that is known, in place of a surrogate's."""

    def __init__(self, log_density, start):
        self.log_density, self.at = log_density, torch.tensor(start)

    def theta(self):
        return self.at

    def set(self, theta):
        self.at = theta

    def __call__(self, theta):
        point = theta.clone().requires_grad_()
        value = self.log_density(point)
        if value == -math.inf:
            return -math.inf, torch.full_like(theta, math.nan)
        return value.item(), torch.autograd.grad(value, point)[0]


def drawn(log_density, start, count=4000):
    return torch.stack(list(hyperposterior._chain(Known(log_density, start), count, generator())))


def by_hand(surrogate):
    """Return the log density of what is fitted, from the model's own numbers."""
    gp = surrogate.gp
    kernel, likelihood = gp.covar_module, gp.likelihood
    [rows], mean = gp.train_inputs, gp.mean_module.constant
    covariance = kernel(rows).to_dense() + likelihood.noise.diag()
    total = MultivariateNormal(mean.expand(len(rows)), covariance).log_prob(gp.train_targets)
    scales, d = kernel.base_kernel.lengthscale[0], rows.shape[1]
    prior = MultivariateNormal(torch.full((d,), math.sqrt(2) + math.log(d) / 2), torch.eye(d) + 2.0)
    total = total + prior.log_prob(scales.log())
    total = total + ((scales - SHORTEST_LENGTH_SCALE) / scales).log().sum()
    variance, noise = kernel.outputscale, likelihood.second_noise
    total = total + Normal(0.0, 1.0).log_prob(variance.log()) - variance.log()
    total = total + (variance - SMALLEST_KERNEL_VARIANCE).log()
    total = total + Gamma(1.1, 10.0).log_prob(noise) + (noise - SMALLEST_LEARNT_VARIANCE).log()
    return total.item()


def test_the_density_is_that_of_logarithms():
    """Between any two theta, as computed from the distributions themselves."""
    surrogate = noisy_fit()
    density = LogDensity(surrogate)
    start = density.theta()
    values, hands = [], []
    for _ in range(4):
        values.append(density(start + 0.3 * torch.randn(len(start)))[0])
        with torch.no_grad():
            hands.append(by_hand(surrogate))
    for value, hand in zip(values[1:], hands[1:], strict=True):
        assert value - values[0] == pytest.approx(hand - hands[0], abs=1e-6)


@pytest.mark.parametrize("made", [noisy_fit, rising_fit])
def test_its_gradient_is_its_slope(made):
    density = LogDensity(made())
    start = density.theta()
    found = density(start + 0.1)[1]
    for k, shift in enumerate(1e-5 * torch.eye(len(start))):
        slope = (density(start + 0.1 + shift)[0] - density(start + 0.1 - shift)[0]) / 2e-5
        assert found[k].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_draws_have_the_moments_of_a_density_that_is_not_normal():
    """The log of a Gamma(2) number, beside a normal one a tenth as wide that follows it.

    Mean and variance are digamma(2) and trigamma(2); draws of a chain count for a quarter.
    """

    def log_density(theta):
        x, y = theta
        return 2 * x - x.exp() - ((y - x) / 0.1).square() / 2

    x, y = drawn(log_density, [3.0, 3.0]).T
    error = math.sqrt(0.6449 / 1000)
    assert x.mean().item() == pytest.approx(0.4228, abs=4 * error)
    # The variance of a variance has a part of the excess, 1.19 here.
    assert x.var().item() == pytest.approx(0.6449, rel=4 * math.sqrt((2 + 1.19) / 1000))
    assert (y - x).std().item() == pytest.approx(0.1, rel=4 / math.sqrt(2 * 1000))


def test_a_trajectory_leads_back_to_its_start_and_keeps_its_energy():
    """Or what is accepted would not be the density's."""

    def log_density(theta):
        return 2 * theta[0] - theta[0].exp() - (theta[1] - theta[0]).square()

    density, axes = Known(log_density, [0.0, 0.0]), torch.tensor([[0.7, 0.1], [0.4, 0.6]])
    theta, momentum = torch.tensor([0.3, -0.2]), torch.tensor([1.0, -0.7])
    value, slope = density(theta)
    there, speed, higher, gradient = hyperposterior._trajectory(
        density, axes, (theta, momentum, value, slope), 0.05, 20
    )
    assert (there - theta).abs().max() > 0.1
    before, after = (
        m.square().sum().item() / 2 - v for m, v in ((momentum, value), (speed, higher))
    )
    assert after == pytest.approx(before, abs=1e-3)
    back = hyperposterior._trajectory(density, axes, (there, -speed, higher, gradient), 0.05, 20)
    torch.testing.assert_close(back[0], theta)
    torch.testing.assert_close(back[1], -momentum)


def test_each_trajectory_begins_with_the_gradient_of_where_the_chain_is(monkeypatch):
    """Also where a draw was accepted, and where one was not."""
    density = Known(lambda theta: -theta.square().sum() / 2 - theta.exp().sum(), [0.0, 0.5])
    begun = []

    def trajectory(density, axes, start, *rest, real=hyperposterior._trajectory):
        begun.append(start)
        return real(density, axes, start, *rest)

    monkeypatch.setattr(hyperposterior, "_trajectory", trajectory)
    chain = torch.stack(list(hyperposterior._chain(density, 100, generator())))
    assert (chain[1:] != chain[:-1]).any(1).float().mean() > 0.5
    for theta, _, value, gradient in begun:
        expected = density(theta)
        assert value == expected[0]
        assert torch.equal(gradient, expected[1])


def test_a_fit_without_a_density_is_told():
    surrogate = noisy_fit()
    surrogate.gp.train_targets[0] = torch.nan
    with pytest.raises(SurrogateError, match="no density to draw others from"):
        next(plausible(surrogate, 5, generator()))


def test_where_the_numerics_break_down_nothing_is_drawn():
    """A normal density that ends at 1/2: its mean is -phi(1/2)/Phi(1/2)."""

    def log_density(theta):
        return torch.tensor(-math.inf) if theta[0] > 0.5 else -theta.square().sum() / 2

    found = drawn(log_density, [0.0])
    assert found.max() <= 0.5
    assert found.mean().item() == pytest.approx(-0.3521 / 0.6915, abs=4 * 0.7 / math.sqrt(1000))


@pytest.mark.parametrize("made", [noisy_fit, rising_fit])
def test_all_that_was_fitted_varies_and_is_put_back(made):
    surrogate = made()
    before = {name: value.clone() for name, value in surrogate.gp.state_dict().items()}
    density = LogDensity(surrogate)
    rows = torch.stack([density.theta() for _ in plausible(surrogate, 50, generator())])
    assert (rows.std(0) > 0.03).all()
    for name, value in surrogate.gp.state_dict().items():
        assert torch.equal(value, before[name])


def test_one_that_stops_in_the_middle_leaves_the_fit_as_it_was():
    surrogate = noisy_fit()
    scales = length_scales(surrogate)
    draws = plausible(surrogate, 10, generator())
    next(draws)
    assert length_scales(surrogate) != scales
    draws.close()
    assert length_scales(surrogate) == scales


def test_where_the_trials_say_nothing_a_length_scale_is_what_the_prior_makes_of_the_others():
    """The logs have variance 3 and share 2: given the first, the second has 3 - 2^2 / 3."""
    rows = torch.rand(12, 2, generator=generator())
    rows[:, 1] = 0.5
    surrogate = fit(rows, torch.sin(4 * rows[:, 0]), torch.full((12,), 0.05))
    draws = plausible(surrogate, 2000, generator())
    first, second = torch.tensor([length_scales(each) for each in draws]).log().T
    expected = 5 / 3 + (2 / 3) ** 2 * first.var().item()
    # Draws of a chain count for a quarter.
    assert second.var().item() == pytest.approx(expected, rel=4 * math.sqrt(2 / 500))
    middle = math.sqrt(2) + math.log(2) / 2
    assert second.mean().item() == pytest.approx(
        middle + 2 / 3 * (first.mean().item() - middle), abs=4 * math.sqrt(expected / 500)
    )


def test_noise_that_was_fitted_to_nothing_may_still_be_there():
    surrogate = noisy_fit()
    with torch.no_grad():
        surrogate.gp.likelihood.second_noise_covar.raw_noise.fill_(-60.0)
    noise = [
        each.gp.likelihood.second_noise.item() for each in plausible(surrogate, 50, generator())
    ]
    assert max(noise) > 0.01
