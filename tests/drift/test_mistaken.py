"""Drift models of one's own that are none: told by name, before they harm the network."""

import pytest
import torch
from torch import nn

from bayesft.drift import (
    Chip,
    Drift,
    DriftingWeights,
    LogNormalDrift,
    StuckAtDrift,
    apply,
    drifted,
)
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


class Chance(Drift):
    def __call__(self, weight, normal, sigma):
        return weight + sigma * torch.randn_like(weight)


class Always(Drift):
    def __call__(self, weight, normal, sigma):
        return 0.9 * weight + sigma * normal


class Whole(Drift):
    elementwise = True

    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal * weight.abs().amax()


class ByRow(Drift):
    elementwise = True

    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal * weight.abs().amax(-1, keepdim=True)


class Looking(Drift):
    vectorised = True

    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal / max(1.0, float(normal.abs().max()))


class Caught(Drift):
    vectorised = True

    def __call__(self, weight, normal, sigma):
        try:
            largest = float(normal.abs().max())
        except RuntimeError:
            largest = 1.0
        return weight + sigma * normal / largest


class Truth(Drift):
    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal > 0


@pytest.mark.parametrize("limit", [None, 0])
@pytest.mark.parametrize(
    ("drift", "message"),
    [
        (InPlace, "InPlace writes to the weights.*Return a new tensor"),
        (Mute, r"Mute to return the drifted weights.*\(2, 2\) here, but got NoneType"),
        (Flat, r"\(2, 2\) here, but got \(4,\)"),
        (Chance, "Chance returns something else when it is called again.*`normal`"),
        (Always, "Always changes weights at sigma 0"),
        (Whole, "Whole says that it is elementwise.*elementwise = False"),
        (ByRow, "ByRow says that it is elementwise.*elementwise = False"),
        (Looking, r"Looking says that it is vectorised, but torch.func.vmap.*vectorised = False"),
        (Caught, "Caught says that it is vectorised, but of two draws.*vectorised = False"),
        (Truth, "Truth to return the drifted weights as they came, torch.float32.*torch.bool"),
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


def test_it_is_told_again():
    with DriftingWeights(nn.Linear(3, 2), Chance()) as weights:
        for _ in range(2):
            with pytest.raises(SettingError, match="Chance returns something else"):
                next(weights.draws([Chip(0, 0)], [0.3]))


class Power(LogNormalDrift):
    def __init__(self, power, table=None, function=None):
        super().__init__()
        self.power, self.table, self.function = power, table, function


class Forgetful(Drift):
    def __init__(self):
        self.scale = 2.0

    def __call__(self, weight, normal, sigma):
        return weight * (1 + self.scale * sigma * normal)


@pytest.mark.parametrize(
    ("drift", "chip", "message"),
    [
        (LogNormalDrift, Chip(0, 0), r"the class LogNormalDrift: make one, LogNormalDrift\(\)"),
        ("lognormal", Chip(0, 0), "such as LogNormalDrift.*but got 'lognormal'"),
        (Forgetful(), Chip(0, 0), r"Forgetful does not know.*super\(\).__init__\(target="),
        (LogNormalDrift(), 3, r"`chip` to be a chip.*but got 3. Try Chip\(seed=0, index=0\)"),
    ],
)
def test_arguments_of_another_kind_are_told(drift, chip, message):
    with pytest.raises(SettingError, match=message), drifted(nn.Linear(2, 2), drift, 0.5, chip):
        pass


def test_drifts_of_other_settings_are_told_apart():
    """By their text, which curves keep: those of one drift alone are paired."""
    assert repr(LogNormalDrift()) == "LogNormalDrift(target='all')"
    same = [Power(0.5, torch.ones(2), nn.Linear(1, 1).forward) for _ in range(2)]
    assert repr(same[0]) == repr(same[1])
    others = [
        Power(0.5),
        Power(0.05),
        Power(0.5, torch.ones(2)),
        Power(0.5, torch.tensor([1, 2.0])),
    ]
    assert len({repr(each) for each in (*others, StuckAtDrift(), StuckAtDrift(stuck_off=1.0))}) == 6
