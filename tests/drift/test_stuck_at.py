"""Stuck cells: how many, at what, and that they stay so as the faults grow."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import Chip, StuckAtDrift, drifted, standard_normals
from bayesft.errors import SettingError
from bayesft.methods import NoiseInjection
from bayesft.models import MLP
from bayesft.robustness import evaluate
from bayesft.tasks import Classification

DRIFT = StuckAtDrift()
COUNT = 400_000


def normals(count: int = COUNT) -> torch.Tensor:
    return standard_normals(0, [0], count)[0]


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (60,), generator=generator)
    return TensorDataset(torch.rand(60, 1, 12, 12, generator=generator), labels)


def confidence(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    """A smooth score: close is close, where accuracy could jump at a tie."""
    images, labels = batch
    return model(images).softmax(1).gather(1, labels[:, None])[:, 0]


def close(found: torch.Tensor, probability: float) -> bool:
    """Whether so many of COUNT are there, within five standard errors."""
    error = math.sqrt(max(probability * (1 - probability), 1 / COUNT) / COUNT)
    return abs(found.double().mean().item() - probability) < 5 * error


@pytest.mark.parametrize("stuck_off", [0.0, 0.838, 1.0])
@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0])
def test_a_part_sigma_is_stuck_off_or_on(sigma, stuck_off):
    weight = torch.linspace(0.1, 0.5, COUNT)
    weight[7] = -2.0
    result = StuckAtDrift(stuck_off=stuck_off)(weight, normals(), sigma)
    assert close(result == 0, sigma * stuck_off)
    assert close(result == 2, sigma * (1 - stuck_off) / 2)
    assert close(result == -2, sigma * (1 - stuck_off) / 2)
    others = (result != 0) & (result.abs() != 2)
    assert close(others, 1 - sigma)
    assert torch.equal(result[others], weight[others])


def test_the_default_is_the_chip_of_the_source():
    assert DRIFT.stuck_off == pytest.approx(9.04 / (9.04 + 1.75), abs=1e-3)


def test_a_stuck_cell_stays_at_its_value_as_more_get_stuck():
    before = torch.zeros(COUNT, dtype=torch.bool), torch.zeros(COUNT)
    for sigma in (0.0, 0.05, 0.2, 0.7, 1.0):
        stuck, level = DRIFT.cells(normals(), sigma)
        assert stuck.sum() >= before[0].sum()
        assert torch.equal(stuck & before[0], before[0])
        assert torch.equal(level[before[0]], before[1][before[0]])
        before = stuck, level
    assert stuck.all()


def test_twice_is_as_once():
    """Stuck cells do not depend on what was written to them, but on the largest weight."""
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    once = DRIFT(weight, normals(1000), 0.3)
    assert (once == weight.abs().max()).any()
    assert torch.equal(DRIFT(once, normals(1000), 0.3), once)


def test_its_mean_is_the_gain():
    weight = torch.full((COUNT,), 0.5)
    result = DRIFT(weight, normals(), 0.4)
    error = result.double().std().item() / math.sqrt(COUNT)
    assert abs(result.double().mean().item() - 0.5 * DRIFT.gain(0.4)) < 5 * error


def test_gradients_pass_free_cells_alone_but_for_the_largest_weight():
    weight = torch.tensor([1.0, -3.0, 2.0, 0.5], requires_grad=True)
    normal = torch.tensor([0.01, 1.0, 1.0, 2.9])
    DRIFT(weight, normal, 0.2).sum().backward()
    # The last one is stuck at the magnitude of the second, which is negative.
    assert weight.grad.tolist() == [0, 1 - 1, 1, 0]


def test_the_largest_is_that_of_the_layer():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    with torch.no_grad():
        model[1].weight.mul_(10)
    largest = [layer.weight.abs().max().item() for layer in model]
    clean = [layer.weight.detach().clone() for layer in model]
    with drifted(model, DRIFT, 0.3, Chip(0, 0)):
        for layer, top, before in zip(model, largest, clean, strict=True):
            changed = layer.weight[layer.weight != before]
            assert set(changed.abs().tolist()) == {0.0, top}


def test_backends_agree():
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(20,))
    curves = [
        evaluate(
            model, data(), DRIFT, [0.0, 0.05, 0.2], 20, images_per_draw=8, score=confidence,
            backend=backend,
        )
        for backend in ("in_place", "vmap")
    ]  # fmt: skip
    torch.testing.assert_close(*(torch.tensor(c.scores) for c in curves), rtol=1e-4, atol=1e-5)
    assert curves[0].scores[0] != curves[0].scores[2]


def test_it_can_be_mapped_over_chips():
    weight = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    chips = standard_normals(0, range(5), 120).view(5, 30, 4)
    together = torch.func.vmap(lambda normal: DRIFT(weight, normal, 0.2))(chips)
    assert torch.equal(together, torch.stack([DRIFT(weight, chip, 0.2) for chip in chips]))


@pytest.mark.parametrize("sigma", [1.01, 5, -0.1, math.nan, "much"])
def test_a_strength_that_is_no_part_is_told(sigma):
    message = "`sigma` to be .*the part of the cells that is stuck.*evaluation.sigmas"
    model = MLP(image_size=12, hidden=(20,))
    with pytest.raises(SettingError, match=message):
        DRIFT(torch.ones(3), torch.ones(3), sigma)
    with pytest.raises(SettingError, match=message), drifted(model, DRIFT, sigma, Chip(0, 0)):
        pass
    with pytest.raises(SettingError, match=message):
        evaluate(model, data(), DRIFT, [0.1, sigma], 4)
    with pytest.raises(SettingError, match=message):
        NoiseInjection(model, task=Classification(10), drift=DRIFT, sigma=sigma)


@pytest.mark.parametrize("stuck_off", [-0.1, 1.1, math.nan, True, "0.5", None])
def test_a_part_that_is_none_is_told(stuck_off):
    with pytest.raises(SettingError, match="`stuck_off` to be a number from 0 to 1"):
        StuckAtDrift(stuck_off=stuck_off)
