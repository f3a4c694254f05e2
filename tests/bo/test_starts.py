"""Where a search looks next: no row that any of many others would be better than."""

import math

import pytest
import torch

from bayesft.bo import Constraint, Optimizer, Trial
from bayesft.bo.acquisition import suggest
from bayesft.bo.improvement import LogNoisyImprovement
from bayesft.bo.isolation import isolated
from bayesft.bo.space import Categorical, Integer, Real, Space
from bayesft.bo.starts import untried
from bayesft.bo.surrogate import fit

MIXED = {
    "a choice of many": Space({"x": Real(0, 1), "c": Categorical(tuple("abcdefghij"))}),
    "three choices": Space(
        {"x": Real(0, 1), **{name: Categorical(tuple("abcdef")) for name in "cde"}}
    ),
    "many choices": Space(
        {"x": Real(0, 1), "y": Real(0, 1)} | {f"c{i}": Categorical(tuple("abcd")) for i in range(9)}
    ),
    "switches": Space({f"b{i}": Categorical((True, False)) for i in range(30)}),
    "integers": Space({"x": Real(0, 1), "k": Integer(1, 3), "j": Integer(1, 40)}),
    "no real number": Space(
        {"k": Integer(1, 9), "c": Categorical(tuple("abcde")), "b": Categorical((True, False))}
    ),
}


def value(row):
    """A different optimum for each column, so that no choice is as good as another."""
    places = torch.linspace(0.2, 0.7, row.shape[-1]).to(row)
    return -((row - places).square() * (1 + places)).sum(-1)


def points(space, count):
    return torch.tensor([space.round_row(row) for row in torch.rand(count, space.width).tolist()])


def none_pending(space):
    return torch.empty(0, space.width)


@pytest.mark.parametrize("space", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("trials", [8, 20])
def test_no_other_point_is_expected_to_improve_more(space, trials):
    with isolated(trials):
        observed = points(space, trials)
        surrogate = fit(observed, value(observed), torch.full((trials,), math.nan))
        row, _ = suggest(surrogate, space, observed, none_pending(space), seed=0)
        assert row == space.round_row(row)
        assert untried(row, observed)
        acquisition = LogNoisyImprovement(surrogate, none_pending(space), seed=0)
        others = points(space, 4000)
        best = observed[value(observed).topk(4).indices]
        near = best.repeat(500, 1) + 0.05 * torch.randn(2000, space.width)
        near = torch.tensor([space.round_row(row) for row in near.tolist()])
        # Those that differ in one choice, or in the real numbers alone.
        beside = torch.tensor(space.neighbours(row))
        real = torch.tensor(space.real_columns)
        moved = torch.tensor([row]).repeat(400, 1)
        moved[:, real] += torch.cat([0.3 * torch.randn(200, 1), 0.03 * torch.randn(200, 1)])
        moved = torch.tensor([space.round_row(row) for row in moved.tolist()])
        rivals = torch.cat([others, near, beside, moved])
        rivals = rivals[torch.cdist(rivals, observed, p=torch.inf).amin(1) > 1e-6]
        with torch.no_grad():
            chosen = acquisition(torch.tensor([[row]])).item()
            most = acquisition(rivals.unsqueeze(-2)).max().item()
    # Of the logarithm: a hundredth of the improvement at most.
    assert chosen > most - 0.01


def finished(optimizer, params, value, **extra):
    number = optimizer.next_number - 1
    optimizer.tell(Trial(number, params, state="finished", value=value, extra=extra))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_number_and_a_choice_are_found_together(seed):
    """The best choice of ten, and the number that goes with it."""
    space = MIXED["a choice of many"]
    worse = dict(zip("abcdefghij", (0.7, 0.2, 0.9, 0.4, 0.0, 0.6, 0.1, 0.8, 0.5, 0.3), strict=True))
    optimizer = Optimizer(space, seed=seed)
    for _ in range(20):
        [params] = optimizer.ask()
        at = worse[params["c"]]
        finished(optimizer, params, -((params["x"] - at) ** 2) - 0.3 * at)
    best = optimizer.best()
    assert best.params["c"] == "e"
    assert best.value > -1e-3


@pytest.mark.parametrize("width", [1, 2])
def test_the_corner_that_is_best_does_not_end_what_can_be_expected(width):
    """Every climb leads there, and it was tried."""
    optimizer = Optimizer(Space({f"x{i}": Real(0, 1) for i in range(width)}), seed=0)
    for _ in range(15):
        if optimizer.next_number >= optimizer.n_initial:
            assert optimizer.expected_improvement() is not None
        [params] = optimizer.ask()
        finished(optimizer, params, sum(params.values()))


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_under_a_limit_climbs_begin_at_trials_that_keep_to_it(seed):
    """Where what is better lies beyond the limit, climbs from there end beyond it."""
    limit = Constraint("inside", ">=", 0.0)
    optimizer = Optimizer(Space({"x": Real(0, 1), "y": Real(0, 1)}), seed=seed, constraints=[limit])
    expected = []
    for _ in range(18):
        if optimizer.next_number >= optimizer.n_initial:
            expected.append(optimizer.expected_improvement())
        [params] = optimizer.ask()
        x, y = params.values()
        finished(optimizer, params, x + y, inside=0.3 - math.hypot(x - 0.2, y - 0.2))
    assert optimizer.best().value > 0.4 + 0.3 * 2**0.5 - 1e-3
    hopeless = [each for each in expected if each is not None and each < 1e-9]
    assert len(hopeless) <= 2


def test_neighbours_differ_in_one_integer_or_choice():
    space = Space({"x": Real(0, 2), "k": Integer(1, 9), "c": Categorical(("a", "b", "c"))})
    assert space.real_columns == [True, False, False, False, False]
    here = {"x": 0.5, "k": 2, "c": "b"}
    found = [space.decode(row) for row in space.neighbours(space.encode(here))]
    assert found == [
        {**here, "k": 1}, {**here, "k": 3}, {**here, "k": 4}, {**here, "c": "a"},
        {**here, "c": "c"},
    ]  # fmt: skip
    assert Space({"x": Real(0, 1)}).neighbours([0.3]) == []


def test_a_space_of_which_all_is_tried_leaves_nothing():
    space = Space({"k": Integer(1, 3), "b": Categorical((True, False))})
    every = [space.encode({"k": k, "b": b}) for k in (1, 2, 3) for b in (True, False)]
    with isolated(0):
        observed = torch.tensor(every)
        surrogate = fit(observed, value(observed), torch.full((6,), math.nan))
        assert suggest(surrogate, space, observed, none_pending(space), seed=0) is None
