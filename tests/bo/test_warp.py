"""A warp of the values' scale that is learnt with the surrogate."""

import math
from dataclasses import replace

import pytest
import torch
from botorch.exceptions.errors import ModelFittingError
from scipy import stats

from bayesft.bo import Optimizer, Real, Space, Trial
from bayesft.bo import surrogate as module
from bayesft.bo.improvement import LogNoisyImprovement
from bayesft.bo.likelihood import loss_and_gradient
from bayesft.bo.surrogate import WARPABLE, ExactMarginalLogLikelihood, fit, posterior
from bayesft.bo.units import Units
from bayesft.bo.warp import Warp, unwarp, warp
from tests.helpers.rows import sobol

NAN = math.nan

pytestmark = pytest.mark.usefixtures("in_isolation")
POWERS = (0.05, 0.5, 1.0, 1.7, 1.95)


def _hill(rows):
    """A top that is a small part of the square, as a network's score has."""
    return torch.exp(-12 * (rows - 0.4).square().sum(-1))


@pytest.mark.parametrize("power", POWERS)
def test_it_is_yeo_and_johnsons_and_has_an_inverse_and_a_slope(power):
    z = torch.linspace(-6, 6, 41).requires_grad_()
    t, slope = warp(z, torch.tensor(power))
    expected = torch.tensor(stats.yeojohnson(z.detach().numpy(), lmbda=power))
    torch.testing.assert_close(t.detach(), expected)
    torch.testing.assert_close(unwarp(t.detach(), power), z.detach())
    torch.testing.assert_close(slope, torch.autograd.grad(t.sum(), z)[0])


@pytest.mark.parametrize("power", POWERS)
def test_units_go_there_and_back(power):
    units = Units(centre=-3.0, scale=20.0, power=power, middle=0.2, spread=1.4)
    values = torch.linspace(-60, 40, 21)
    standard = units.standardise(values)
    torch.testing.assert_close(units.restore(standard), values)
    step = 1e-6
    numeric = (units.restore(standard + step) - units.restore(standard - step)) / (2 * step)
    torch.testing.assert_close(units.slope(standard), numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-500, 2.0**500, 2.0**1000])
def test_the_units_of_the_values_do_not_matter_however_large_or_small(unit):
    rows = sobol(12, 2)
    stderrs = torch.full((12,), 0.01)
    plain = fit(rows, _hill(rows), stderrs, warpable=True)
    scaled = fit(rows, unit * _hill(rows), unit * stderrs, warpable=True)
    assert scaled.units == replace(
        plain.units, centre=unit * plain.units.centre, scale=unit * plain.units.scale
    )
    for ours, theirs in zip(posterior(scaled, rows), posterior(plain, rows), strict=True):
        assert torch.equal(ours, unit * theirs)


def test_a_belief_is_told_by_its_median_and_the_width_of_its_middle():
    units = Units(centre=0.0, scale=2.0, power=0.4)
    mean, std = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 0.1])
    median, half = units.summary(mean, std)
    draws = units.restore(mean + std * torch.randn(200_000, 2))
    low, middle, high = draws.quantile(torch.tensor([0.15866, 0.5, 0.84134]), dim=0)
    # Quantiles of 200,000 draws are known to about 0.3 % of the width.
    torch.testing.assert_close(median, middle, rtol=0.01, atol=0.01)
    torch.testing.assert_close(half, (high - low) / 2, rtol=0.01, atol=0.01)
    straight = replace(units, power=1.0)
    assert torch.equal(straight.summary(mean, std)[1], 2 * std)


def test_the_likelihood_is_that_of_the_values_before_the_warp():
    """Their density: the warped values', times what the warp stretches."""
    rows = sobol(9, 2)
    surrogate = fit(rows, _hill(rows), torch.full((9,), 0.01))
    gp = surrogate.gp
    z, known = gp.train_targets.clone(), gp.likelihood.noise_covar.noise.clone()
    gp.warp = Warp()
    mll = ExactMarginalLogLikelihood(gp.likelihood, gp)
    with torch.no_grad():
        gp.warp.raw_power.fill_(0.7)
    loss, gradient = loss_and_gradient(mll)()

    with torch.no_grad():
        t, slope = gp.warp(z)
        kernel = gp.covar_module(rows).to_dense()
        noise = known * slope.square() + gp.likelihood.second_noise
        belief = torch.distributions.MultivariateNormal(
            gp.mean_module.constant.expand(9), kernel + noise.diag()
        )
        priors = sum(prior.log_prob(of(m)).sum() for _, m, prior, of, _ in gp.named_priors())
        expected = belief.log_prob(t) + slope.log().sum() + priors
    assert loss.item() == pytest.approx(-expected.item() / 9, rel=1e-6)

    names = [name for name, parameter in mll.named_parameters() if parameter.requires_grad]
    steepness = gradient[names.index("model.warp.raw_power")].item()
    sides = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            gp.warp.raw_power.fill_(0.7 + step)
        sides.append(loss_and_gradient(mll)()[0].item())
    assert steepness == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4)


def test_a_warp_is_learnt_where_it_makes_the_function_simpler():
    """A loss with a long tail, to be maximised with its sign turned."""

    def score(rows):
        return -torch.exp(2 * torch.sin(5 * rows[:, 0]) + 3 * rows[:, 1])

    rows, elsewhere = sobol(25, 2), sobol(300, 2, seed=1)
    errors = []
    for warpable in (False, True):
        surrogate = fit(rows, score(rows), torch.full((25,), NAN), warpable=warpable)
        errors.append((posterior(surrogate, elsewhere)[0] - score(elsewhere)).square().mean())
    assert surrogate.units.power > 1.5
    # Half the root mean square.
    assert errors[1] < 0.25 * errors[0]
    # And not where the scale is right as it is.
    plain = fit(rows, rows.sum(-1), torch.full((25,), NAN), warpable=True)
    assert abs(plain.units.power - 1) < 0.2


def test_known_noise_is_warped_with_the_values():
    rows = sobol(25, 2)
    stderrs = torch.linspace(0.01, 0.02, 25)
    surrogate = fit(rows, _hill(rows), stderrs, warpable=True)
    slopes = surrogate.units.slope(surrogate.gp.train_targets)
    torch.testing.assert_close(
        surrogate.gp.likelihood.noise_covar.noise.sqrt() * slopes, stderrs, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("values", [[2.0] * 8, [0.1 + 0.2, 0.3] * 4, list(range(WARPABLE - 1))])
def test_equal_values_and_few_ones_are_not_warped(values):
    values = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    surrogate = fit(sobol(n, 2), values, torch.full((n,), NAN), warpable=True)
    assert surrogate.units.power == 1


def test_a_fit_whose_warp_fails_goes_without_it(monkeypatch):
    build = module._model

    def fails(*arguments, warpable, **settings):
        if warpable:
            raise ModelFittingError("no warp today")
        return build(*arguments, warpable=warpable, **settings)

    rows, stderrs = sobol(20, 2), torch.full((20,), 0.01)
    expected = posterior(fit(rows, _hill(rows), stderrs), rows)[0]
    monkeypatch.setattr(module, "_model", fails)
    surrogate = fit(rows, _hill(rows), stderrs, warpable=True)
    assert surrogate.units.power == 1
    assert torch.equal(posterior(surrogate, rows)[0], expected)


def test_the_expected_improvement_is_in_the_values_units():
    rows = sobol(20, 2)
    surrogate = fit(rows, 50 * _hill(rows), torch.full((20,), 0.5), warpable=True)
    assert surrogate.units.power != 1
    place = torch.tensor([[0.42, 0.4]])
    improvement = LogNoisyImprovement(surrogate, torch.empty(0, 2), seed=0)
    ours = improvement.in_units(improvement(place.unsqueeze(-2)).exp().item())
    with torch.no_grad():
        belief = surrogate.gp.posterior(torch.cat([rows, place]))
        draws = surrogate.units.restore(belief.rsample(torch.Size([20_000])).squeeze(-1))
    gains = (draws[:, 20] - draws[:, :20].amax(-1)).clamp_min(0).mean().item()
    # To first order in the warp.
    assert ours == pytest.approx(gains, rel=0.3)


def test_a_search_warps_its_value_and_no_constraint_and_nothing_that_changes():
    space = Space({"x": Real(0, 1), "y": Real(0, 1)})
    powers = []
    for changing in (False, True):
        optimizer = Optimizer(space, changing=changing)
        for number, row in enumerate(sobol(20, 2).tolist()):
            optimizer.tell(
                Trial(number, dict(zip("xy", row, strict=True)), "finished",
                      _hill(torch.tensor(row)).item(), progress=0.5 if changing else None)
            )  # fmt: skip
        powers.append(optimizer._belief.fitted(optimizer._ended())[0].units.power)
    assert powers[0] != 1
    assert powers[1] == 1
