"""Drift models of one's own that are none: told by name, before they harm the network."""

import pytest
import torch
from torch import nn

from bayesft.drift import Chip, Drift, LogNormalDrift, apply, drifted
from bayesft.errors import SettingError


class InPlace(LogNormalDrift):
    def __call__(self, weight, normal, sigma):
        return weight.mul_(torch.exp(sigma * normal))


class Mute(LogNormalDrift):
    def __call__(self, weight, normal, sigma):
        pass


class Flat(LogNormalDrift):
    def __call__(self, weight, normal, sigma):
        return (weight * normal).flatten()


class Contradicts(Drift):
    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal

    def factor(self, normal, sigma):
        return 1 + sigma * normal


@pytest.mark.parametrize("limit", [None, 0])
@pytest.mark.parametrize(
    ("drift", "message"),
    [
        (InPlace, "InPlace writes to the weights.*Return a new tensor"),
        (Mute, r"Mute to return the drifted weights.*\(2, 2\) here, but got NoneType"),
        (Flat, r"\(2, 2\) here, but got \(4,\)"),
        (Contradicts, "Contradicts.factor and calling it disagree at sigma 0.3"),
    ],
)
def test_what_is_no_drift_is_told_and_the_network_is_as_it_was(monkeypatch, drift, message, limit):
    """Of a small network, and as if it were a large one."""
    if limit is not None:
        monkeypatch.setattr(apply, "LARGE", limit)
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    with pytest.raises(SettingError, match=message), drifted(model, drift(), 0.3, Chip(0, 0)):
        pass
    assert torch.equal(model.weight, before)
