"""How much the objective depends on each dimension, and how sure that is."""

import random

import pytest
import torch

from bayesft.bo import importance
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.trial import Trial
from tests.helpers.surrogates import cube, told


def found(optimizer):
    influences = optimizer.insight().influences
    return {i.name: (i.interval[0], i.importance, i.interval[1]) for i in influences}


def test_a_sum_is_shared_as_its_variances_are():
    """Of 2 x and y, 4 to 1; nothing that is far from linear in 30 trials' noise."""
    shares = found(told(cube(3), lambda x0, x1, x2: 2 * x0 + x1, 30))
    for name, share in (("x0", 0.8), ("x1", 0.2)):
        low, middle, high = shares[name]
        assert low < share < high
        assert middle == pytest.approx(share, abs=0.03)
        assert high - low < 0.15
    assert shares["x2"][2] < 0.02


def test_it_is_the_same_whatever_the_values_are_measured_in():
    shares = [
        found(told(cube(2), lambda x0, x1, unit=unit: unit * (2 * x0 + x1), 12, noise=0, stderr=0))
        for unit in (1.0, 2.0**600)
    ]
    assert shares[0] == shares[1]


def test_fewer_trials_are_less_sure():
    few, many = (
        found(told(cube(2), lambda x0, x1: 2 * x0 + x1, n, noise=0.3, stderr=0.3)) for n in (10, 60)
    )
    for name in few:
        assert few[name][2] - few[name][0] > 1.3 * (many[name][2] - many[name][0])


def test_of_a_value_that_changes_it_is_at_the_present():
    """Early x matters alone, late y; what all points share is the progress's."""
    optimizer, luck = Optimizer(cube(2), seed=0, changing=True), random.Random(0)
    rows = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(40)
    for number, (x, y) in enumerate(rows.tolist()):
        progress = (number + 1) / 40
        value = 5 * progress + (1 - progress) * x + progress * y + luck.gauss(0, 0.01)
        optimizer.tell(
            Trial(number, {"x0": x, "x1": y}, state="finished", value=value, stderr=0.01,
                  progress=progress)
        )  # fmt: skip
    shares = found(optimizer)
    assert shares["x1"][1] > 0.9
    assert shares["x0"][1] < 0.1
    # Of 5 t + (1 - t) x + t y; its own index counts what the others make with it.
    assert shares["progress"][0] > 0.9


@pytest.mark.parametrize("left", [0, 1])
def test_a_function_that_cannot_be_drawn_is_left_out_unless_none_can(monkeypatch, left):
    drawn = []

    def draw(*args, real=importance.draw_path):
        drawn.append(len(drawn))
        if len(drawn) > left:
            raise torch.linalg.LinAlgError("singular")
        return real(*args)

    monkeypatch.setattr(importance, "draw_path", draw)
    optimizer = told(cube(1), lambda x0: x0, 9)
    if left:
        assert found(optimizer)["x0"] == pytest.approx((1, 1, 1), abs=0.02)
        assert len(drawn) == importance.PATHS
    else:
        with pytest.raises(Exception, match="could not be read: singular"):
            optimizer.insight()


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """Accuracies that collapse where the rates add up to much: 3 x 30 intervals of 95 %.

    Of 90 that each hold it in 95 %, fewer than 78 do once in a thousand times.
    """

    def accuracy(u):
        a, b, c = (0.8 * u).unbind(1)
        height = 0.8 - 0.9 * (a - 0.3) ** 2 - 0.4 * (b - 0.5) ** 2 - 0.1 * (c - 0.2) ** 2
        return height * torch.sigmoid(6 * (1.3 - a - b - c)) + 0.1

    def at(*rates):
        return accuracy(torch.tensor([rates], dtype=torch.float64)).item()

    true = truth(accuracy, 3)
    held = 0
    for seed in range(30):
        optimizer, luck = Optimizer(cube(3), seed=seed), random.Random(seed)
        rows = torch.quasirandom.SobolEngine(3, scramble=True, seed=seed).draw(25)
        for number, row in enumerate(rows.tolist()):
            params = dict(zip(("x0", "x1", "x2"), row, strict=True))
            optimizer.tell(
                Trial(number, params, state="finished", value=at(*row) + luck.gauss(0, 0.01),
                      stderr=0.01)
            )  # fmt: skip
        for name, (low, _, high) in found(optimizer).items():
            held += low <= true[name] <= high
    assert held >= 78


def truth(function, d):
    """Return total indices from 2^16 points, the function being known."""
    engine = torch.quasirandom.SobolEngine(2 * d, scramble=True, seed=1)
    one, other = engine.draw(2**16, dtype=torch.float64).split(d, dim=1)
    values, indices = function(one), {}
    for i in range(d):
        mixed = one.clone()
        mixed[:, i] = other[:, i]
        moved = (values - function(mixed)).square().mean() / 2
        indices[f"x{i}"] = (moved / values.var()).item()
    return indices
