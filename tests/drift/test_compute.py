"""Drift by looked-up factors is drift as its class says."""

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
    compute,
    drifted,
)

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


class Partly(LogNormalDrift):
    """By a factor where it is weak alone."""

    def factor(self, normal, sigma):
        return super().factor(normal, sigma) if sigma < 0.5 else None

    def __call__(self, weight, normal, sigma):
        return weight * super().factor(normal, sigma)


class Layered(Drift):
    """Given whole layers; notes which."""

    vectorised = True

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __call__(self, weight, normal, sigma):
        if weight.shape != (2, 2):
            self.shapes.append(tuple(weight.shape))
        return (weight + sigma * weight.abs().amax() * normal).to(weight.dtype)


class Looking(Layered):
    """Python that looks at its numbers."""

    def __call__(self, weight, normal, sigma):
        drifted = super().__call__(weight, normal, sigma)
        return drifted if normal.sum() < 0 or sigma == 0 else drifted.clamp(-1, 1)


class Keeping(Drift):
    """Keeps what it made of normals."""

    def __init__(self):
        super().__init__()
        self.ones = {}

    def __call__(self, weight, normal, sigma):
        ones = self.ones.setdefault(weight.shape, torch.ones_like(normal))
        return weight + sigma * normal * ones


class Writing(Drift):
    """Writes to its normals."""

    def __call__(self, weight, normal, sigma):
        normal.clamp_(-1, 1).mul_(sigma)
        return weight + normal if normal.sum() > 0 else weight.clone()


class Shared(Drift):
    """Returns one number for a bias."""

    def __call__(self, weight, normal, sigma):
        drifted = weight + sigma * normal
        return drifted if weight.ndim > 1 or sigma == 0 else drifted.mean()


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
        with DriftingWeights(model, drift) as weights:
            assert weights.rows([(Chip(0, 0), SIGMA), (Chip(0, 1), SIGMA)]).shape == (2, 0)


def rows_of(drift, model, draws):
    with DriftingWeights(model, drift) as weights:
        return weights.rows(draws).clone()


def test_a_layers_weights_are_computed_for_many_draws_at_once(monkeypatch):
    """As many as stay in the cache."""
    drift, model = Layered(), nn.Linear(3, 5)
    draws = [(Chip(0, k), sigma) for sigma in (0.3, 0.9) for k in range(4)]
    found = rows_of(drift, model, draws)
    assert drift.shapes == [(5, 3), (5,)] * 2
    monkeypatch.setattr(compute, "_BLOCK", 30)
    drift.shapes.clear()
    assert torch.equal(rows_of(drift, model, draws), found)
    # By two draws; and of five weights four are below it.
    assert drift.shapes == [(5, 3), (5, 3), (5,)] * 2
    # Of several types too.
    drift.shapes.clear()
    rows_of(drift, nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2).double()), draws[:4])
    assert drift.shapes == [(5, 3), (5, 3), (5,), (2, 5), (2, 5), (2,)]


@pytest.mark.parametrize("kind", [Looking, Keeping, Writing, Shared])
def test_a_drift_that_does_not_say_it_is_vectorised_is_given_one_draw_after_the_other(kind):
    """Though it derive from one that says so."""
    torch.manual_seed(0)
    drift, model = kind(), nn.Linear(3, 4)
    draws = [(Chip(0, k), sigma) for sigma in (0.6, 0.9) for k in range(4)]
    found = rows_of(drift, model, draws)
    for row, (chip, sigma) in zip(found, draws, strict=True):
        with drifted(model, drift, sigma, chip):
            alone = [model.weight.flatten(), model.bias]
            assert torch.equal(row, torch.cat(alone).detach())


def test_a_vectorised_drifts_error_is_its_own():
    class Wrong(Layered):
        vectorised = True

        def __call__(self, weight, normal, sigma):
            if weight.shape == (5,):
                raise LookupError("no such cell")
            return super().__call__(weight, normal, sigma)

    with pytest.raises(LookupError, match="no such cell"):
        rows_of(Wrong(), nn.Linear(3, 5), [(Chip(0, 0), SIGMA), (Chip(0, 1), SIGMA)])


def test_a_vectorised_drift_may_return_one_number_for_a_layer():
    class Alike(Shared):
        vectorised = True

        def __call__(self, weight, normal, sigma):
            return super().__call__(weight, normal, sigma)

    torch.manual_seed(0)
    draws = [(Chip(0, k), 0.6) for k in range(4)]
    model = nn.Linear(3, 4)
    assert torch.equal(rows_of(Alike(), model, draws), rows_of(Shared(), model, draws))


@pytest.mark.parametrize("drift", [LogNormalDrift(), Shifted(), Partly()])
def test_draws_of_other_chips_and_sigmas_have_codes_of_their_own(drift):
    """As many as before, so that they lie in the same memory."""
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    calls = [
        [(Chip(0, 0), 0.3), (Chip(0, 1), 0.3), (Chip(0, 1), 0.9)],
        [(Chip(0, 2), 0.3), (Chip(0, 3), 0.3), (Chip(0, 3), 0.9)],
        [(Chip(0, 0), 0.3), (Chip(0, 1), 0.3), (Chip(0, 1), 0.9)],
    ]
    with DriftingWeights(model, drift) as weights:
        found = [weights.rows(draws).clone() for draws in calls]
    for draws, rows in zip(calls, found, strict=True):
        for (chip, sigma), row in zip(draws, rows, strict=True):
            with drifted(model, drift, sigma, chip):
                seen = torch.cat([each.detach().flatten() for each in model.parameters()])
            torch.testing.assert_close(row, seen)


def test_codes_that_were_cut_are_made_again(monkeypatch):
    draws, others = ([(Chip(0, k), 0.3)] * 2 for k in (0, 1))
    with DriftingWeights(nn.Linear(5, 3), Shifted()) as weights:
        expected = weights.rows(draws).clone()

        def cut(chips, count, device, *, memory):
            memory.zero_()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(apply, "all_codes", cut)
            with pytest.raises(KeyboardInterrupt):
                weights.rows(others)
        assert torch.equal(weights.rows(draws), expected)


def test_hidden_weights_stay_hidden_when_there_is_new_memory():
    model = nn.Linear(5, 3)
    with DriftingWeights(model, LogNormalDrift()) as weights:
        with weights.hidden():
            for count in (2, 3):
                weights.rows([(Chip(0, k), 0.3) for k in range(count)])
                assert model.weight.isnan().all()
        assert not model.weight.isnan().any()
