"""Drift by looked-up factors is drift as its class says."""

import pytest
import torch
from torch import nn

from bayesft.drift import Chip, Drift, DriftingWeights, LogNormalDrift, StuckAtDrift, drifted

SIGMA = 0.7
pytestmark = pytest.mark.usefixtures("either_way")


class Halved(LogNormalDrift):
    """Says anew what happens to a weight, and nothing of factors."""

    def __call__(self, weight, normal, sigma):
        return (super().__call__(weight, normal, sigma) + weight) / 2


class Shifted(Drift):
    """Not by a factor."""

    elementwise = True

    def __call__(self, weight, normal, sigma):
        return (weight + sigma * normal).to(weight.dtype)


class Gained(Shifted):
    """By a factor, above a class that is not."""

    def __call__(self, weight, normal, sigma):
        return (weight * self.factor(normal, sigma)).to(weight.dtype)

    def factor(self, normal, sigma):
        return 1 + sigma * normal


@pytest.mark.parametrize("drift", [LogNormalDrift(), Halved(), Shifted(), Gained()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_networks_weights_are_what_the_class_says(drift, dtype):
    torch.manual_seed(0)
    # More than one block, so that pieces are put together.
    model = nn.Sequential(nn.Linear(700, 500), nn.Linear(500, 3)).to(dtype)
    clean = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    normals = Chip(1, 2).normals(clean)
    with drifted(model, drift, SIGMA, Chip(1, 2)):
        for name, weight in model.named_parameters():
            assert torch.equal(weight, drift(clean[name], normals[name], SIGMA)), name


def test_a_factor_is_computed_once_for_each_strength():
    """Whatever the number of weights and of chips."""
    sizes = []

    class Counted(LogNormalDrift):
        def factor(self, normal, sigma):
            sizes.append(normal.numel())
            return super().factor(normal, sigma)

        def __call__(self, weight, normal, sigma):
            return (weight * self.factor(normal, sigma)).to(weight.dtype)

    with DriftingWeights(nn.Linear(300, 200), Counted()) as weights:
        for _ in range(3):
            assert len(list(weights.draws([Chip(0, 0), Chip(0, 1)], [0.3, 0.6]))) == 4
    # Those few are a check of the drift.
    assert [size for size in sizes if size > 4] == [1 << 17, 1 << 17]


def test_a_draws_outputs_do_not_depend_on_its_row():
    """To the bit: how a product is rounded can depend on where its factors lie in memory."""
    torch.manual_seed(0)
    model, image = nn.Sequential(nn.Linear(784, 33), nn.Linear(33, 10)), torch.rand(1, 784)
    chips = [Chip(0, k) for k in range(9)]
    with torch.no_grad():
        with DriftingWeights(model, LogNormalDrift()) as weights:
            together = [model(image).clone() for _ in weights.draws(chips, [SIGMA])]
        for chip, found in zip(chips, together, strict=True):
            with drifted(model, LogNormalDrift(), SIGMA, chip):
                assert torch.equal(model(image), found)


def test_draws_of_other_numbers_of_chips_may_take_turns():
    torch.manual_seed(0)
    model, chips = nn.Linear(5, 3), [Chip(0, k) for k in range(5)]

    def seen(draws):
        next(draws)
        return model.weight.detach().clone()

    with DriftingWeights(model, LogNormalDrift()) as weights:
        expected = [model.weight.detach().clone() for _ in weights.draws(chips, [SIGMA])]
        two, three = weights.draws(chips[:2], [SIGMA]), weights.draws(chips[2:], [SIGMA])
        found = [seen(draws) for draws in (two, three, two, three, three)]
    for number, weight in zip((0, 2, 1, 3, 4), found, strict=True):
        assert torch.equal(weight, expected[number])


def test_parameters_without_numbers():
    model = nn.ParameterList([torch.empty(0, 3)])
    for drift in (LogNormalDrift(), Shifted(), StuckAtDrift()):
        with drifted(model, drift, SIGMA, Chip(0, 0)):
            assert model[0].shape == (0, 3)
