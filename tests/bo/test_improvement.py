import math

import pytest
import torch

from bayesft.bo.acquisition import suggest
from bayesft.bo.improvement import LogNoisyImprovement, _log_normal_excess
from bayesft.bo.space import Real, Space
from bayesft.bo.surrogate import fit

NAN = math.nan

pytestmark = pytest.mark.usefixtures("in_isolation")


def _fitted(stderr=NAN, n=12):
    rows = torch.rand(n, 2)
    values = -(rows - 0.4).square().sum(-1)
    return fit(rows, values, torch.full((n,), stderr)), rows


def _none():
    return torch.empty(0, 2)


def test_the_log_of_the_excess_is_right_far_into_the_tail():
    z = torch.tensor(
        [-3e3, -1e3 - 1, -999.0, -40.0, -5.0, -1.001, -0.999, 0.0, 4.0]
    ).requires_grad_()
    ours = _log_normal_excess(z)
    # phi(z) (1/z^2 - 3/z^4 + ...) for very negative z; the definition elsewhere.
    expected = [-(x**2) / 2 - math.log(2 * math.pi) / 2 - 2 * math.log(-x) + math.log1p(-3 / x**2)
                for x in z.tolist()[:4]]  # fmt: skip
    expected += [
        math.log(math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) + x * math.erfc(-x / 2**0.5) / 2)
        for x in z.tolist()[4:]
    ]
    torch.testing.assert_close(ours.detach(), torch.tensor(expected), rtol=1e-6, atol=1e-5)
    [gradient] = torch.autograd.grad(ours.sum(), z)
    assert (gradient > 0).all()
    assert gradient.isfinite().all()


def test_it_is_the_mean_of_what_draws_improve_by():
    surrogate, rows = _fitted(stderr=0.1)
    elsewhere = torch.rand(5, 2)
    improvement = LogNoisyImprovement(surrogate, _none(), seed=0)(elsewhere.unsqueeze(-2)).exp()
    with torch.no_grad():
        belief = surrogate.gp.posterior(torch.cat([rows, elsewhere]))
        draws = belief.rsample(torch.Size([40_000])).squeeze(-1)
    gains = (draws[:, 12:] - draws[:, :12].amax(-1, keepdim=True)).clamp_min(0)
    # Both are means of draws: 64 of them, by Sobol, leave a few percent.
    torch.testing.assert_close(improvement.detach(), gains.mean(0), rtol=0.15, atol=2e-3)


def test_a_running_trial_takes_away_what_there_is_to_gain_next_to_it():
    surrogate, _ = _fitted()
    place = torch.tensor([[0.42, 0.38]])
    alone, beside = (
        LogNoisyImprovement(surrogate, pending, seed=0)(place.unsqueeze(-2)).item()
        for pending in (_none(), place + 1e-4)
    )
    assert beside < alone - 1


def test_a_search_closes_in_on_a_noiseless_top():
    surrogate, rows = _fitted(n=25)
    row, improvement = suggest(
        surrogate, Space({"x": Real(0, 1), "y": Real(0, 1)}), rows, _none(), seed=1
    )
    # The nearest of 25 random rows is about 0.1 away.
    assert row == pytest.approx([0.4, 0.4], abs=0.03)
    assert 0 < improvement < 0.1
