"""Additive noise: its size, and what it is relative to."""

import math

import pytest
import torch
from torch import nn

from bayesft.drift import AdditiveDrift, Chip, drifted, standard_normals
from bayesft.errors import SettingError

DRIFT = AdditiveDrift()
COUNT = 400_000


def test_every_weight_has_the_same_error():
    weight = torch.linspace(-0.1, 0.5, COUNT)
    weight[3] = -2.0
    error = (DRIFT(weight, standard_normals(0, [0], COUNT)[0], 0.05) - weight).double()
    for part in error.split(COUNT // 4):
        bound = 5 / math.sqrt(len(part))
        assert abs(part.mean().item()) < 0.1 * bound
        assert part.square().mean().sqrt().item() == pytest.approx(0.1, rel=bound)


def test_the_largest_is_that_of_the_layer():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    with torch.no_grad():
        model[1].weight.mul_(10)
    clean = [layer.weight.detach().clone() for layer in model]
    with drifted(model, DRIFT, 0.1, Chip(0, 0)):
        errors = [
            (layer.weight - before).std() / before.abs().max()
            for layer, before in zip(model, clean, strict=True)
        ]
    # Of 2,500 weights each.
    assert torch.stack(errors).tolist() == pytest.approx([0.1, 0.1], rel=5 / math.sqrt(2 * 2500))


def test_short_types_are_rounded_once():
    weight = torch.tensor([3.01, -1.7, 0.004]).bfloat16()
    normal = torch.tensor([0.333, -1.234, 2.1])
    expected = weight.float() + 0.0777 * weight.float().abs().max() * normal
    assert torch.equal(DRIFT(weight, normal, 0.0777), expected.bfloat16())


def test_of_no_weights_there_are_none():
    assert DRIFT(torch.ones(0, 3), torch.ones(0, 3), 0.1).shape == (0, 3)


@pytest.mark.parametrize("sigma", [-0.1, math.inf, "much"])
def test_a_strength_that_is_none_is_told(sigma):
    with pytest.raises(SettingError, match=r"`sigma` to be .*a part of the layer's largest weight"):
        DRIFT.check(sigma)
