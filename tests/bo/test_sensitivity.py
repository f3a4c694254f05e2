"""Total indices against values that are known."""

import itertools
import math

import pytest
import torch

from bayesft.bo.sensitivity import TotalIndices
from bayesft.bo.space import Categorical, Integer, Real, Space
from tests.helpers.surrogates import cube


def indices(space, function, *, held=None, points=1024, turns=(0,), blocks=4):
    """Return the indices of a function of points, the mean of several turns, by name."""
    held = held or {}
    asked = TotalIndices(space, held=held, blocks=blocks, points=points, seed=0)
    found = []
    for turn in turns:
        rows = asked.rows(turn)
        values = [function(**space.decode(row)) for row in rows.tolist()]
        found.append(asked.of(torch.tensor(values, dtype=torch.float64)))
    return dict(zip(asked.names, torch.stack(found).mean(0).tolist(), strict=True))


def test_the_indices_of_ishigamis_function():
    """Exact ones by A. Saltelli et al., "Sensitivity Analysis in Practice", 2004, a=7, b=.1."""
    space = Space({name: Real(-math.pi, math.pi) for name in ("x", "y", "z", "idle")})

    def ishigami(x, y, z, idle):
        return math.sin(x) + 7 * math.sin(y) ** 2 + 0.1 * z**4 * math.sin(x)

    found = indices(space, ishigami, turns=range(4))
    assert found["x"] == pytest.approx(0.5576, abs=0.02)
    assert found["y"] == pytest.approx(0.4424, abs=0.02)
    assert found["z"] == pytest.approx(0.2437, abs=0.02)
    assert found["idle"] == 0


def test_integers_and_choices_are_even_and_a_choice_is_one_dimension():
    """Against all 4 x 3 x 2 points; two choices are one column, three are three."""
    space = Space({
        "depth": Integer(1, 4), "act": Categorical(("relu", "elu", "tanh")),
        "flag": Categorical((True, False)), "only": Categorical((1,)),
    })  # fmt: skip

    def value(depth, act, flag, only):
        return depth**2 + 5 * (act == "tanh") + 3 * flag * (act == "relu")

    axes = [[1, 2, 3, 4], ["relu", "elu", "tanh"], [True, False]]
    every = torch.tensor([value(*point, 1) for point in itertools.product(*axes)]).double()
    every = every.reshape(4, 3, 2)
    left = [every.var(dim=i, correction=0).mean() / every.var(correction=0) for i in range(3)]
    found = indices(space, value, turns=range(4))
    assert list(found.values()) == pytest.approx(torch.stack(left).tolist(), abs=0.015)


def test_a_logarithmic_interval_is_even_in_the_logarithm():
    space = Space({"lr": Real(1e-4, 1, log=True), "rate": Real(0, 4)})
    found = indices(space, lambda lr, rate: math.log10(lr) + rate)
    assert found == pytest.approx({"lr": 0.5, "rate": 0.5}, abs=0.01)
    # As a number it is nearly always near 0.
    found = indices(space, lambda lr, rate: lr + rate, turns=range(4))
    spread = (1 - 1e-8) / (2 * math.log(1e4)) - ((1 - 1e-4) / math.log(1e4)) ** 2
    assert found["lr"] == pytest.approx(spread / (spread + 16 / 12), abs=0.002)


def test_every_row_stands_for_a_point():
    space = Space({
        "depth": Integer(1, 4), "act": Categorical(("relu", "elu", "tanh")), "rate": Real(0, 1),
    })  # fmt: skip
    asked = TotalIndices(space, held={}, blocks=1, points=64, seed=0)
    for row in asked.rows(0).tolist():
        assert space.round_row(row) == pytest.approx(row, abs=1e-5)


def test_another_seed_has_other_rows():
    one, other = (
        TotalIndices(cube(2), held={}, blocks=1, points=64, seed=seed).rows(0) for seed in (0, 1)
    )
    assert not (one == other).any()


def test_what_is_held_has_its_value_in_every_row():
    space = Space({"x": Real(0, 1), "progress": Real(0, 1)})
    asked = TotalIndices(space, held={"progress": 0.25}, blocks=2, points=64, seed=0)
    rows = asked.rows(1)
    assert rows.shape == (3 * 64, 2)
    assert (rows[:, 1] == 0.25).all()
    assert rows[:, 0].var() > 0.05


def test_each_turn_has_other_rows_until_all_had_theirs():
    asked = TotalIndices(cube(2), held={}, blocks=3, points=64, seed=0)
    first, second = asked.rows(0), asked.rows(1)
    assert not (first[:64].unsqueeze(1) == second[:64]).all(-1).any()
    assert torch.equal(asked.rows(3), first)


def test_all_of_a_function_of_one_dimension_is_that_dimensions():
    """However few the points are: by their luck no share is above 1."""
    shares = []
    for seed in range(20):
        asked = TotalIndices(cube(1), held={}, blocks=1, points=64, seed=seed)
        shares.append(asked.of(asked.rows(0)[:, 0].exp()).item())
    assert 0.9 < min(shares) < max(shares) == 1


def test_the_variance_is_that_of_the_points_themselves():
    """Values 0 and 2 have a variance of 1; to leave one of two by 1 is half of 1/2."""
    asked = TotalIndices(cube(1), held={}, blocks=1, points=2, seed=0)
    assert asked.of(torch.tensor([0.0, 2, 2, 0, 1, 2])).tolist() == [0.25]


def test_a_constant_depends_on_nothing():
    assert indices(cube(2), lambda x0, x1: 2.0) == {"x0": 0, "x1": 0}
