"""Phase-change memory: the source's formulas, one source of noise at a time."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import Chip, PCMDrift, drifted, standard_normals
from bayesft.drift.pcm import FIRST_READ, exponents, programming_error, reading_noise
from bayesft.drift.several import _points, several
from bayesft.errors import SettingError
from bayesft.models import MLP
from bayesft.robustness import evaluate

COUNT = 400_000
DAY = 86_400.0
FALLEN = math.log(DAY / FIRST_READ)
LAYER = torch.linspace(-1.0, 1.0, 2001)


def normals(count: int = COUNT) -> torch.Tensor:
    return standard_normals(0, [0], count)[0]


def layer(part: float) -> torch.Tensor:
    """Weights of a part of the largest, but for the first, which is that."""
    weight = torch.full((COUNT,), 0.3 * part)
    weight[0] = 0.3
    return weight


def test_the_formulas_are_the_sources():
    part = torch.tensor([0.0, 0.001, 0.1, 1.0], dtype=torch.float64)
    microsiemens = [0.2635, 0.2654638, 0.448269, 1.0554]
    assert (25 * programming_error(part)).tolist() == pytest.approx(microsiemens, rel=1e-5)
    mean, spread = exponents(part)
    assert mean.tolist() == pytest.approx([0.1, 0.1, 0.0600901, 0.049], rel=1e-5)
    assert spread.tolist() == pytest.approx([0.045, 0.045, 0.0228823, 0.008], rel=1e-5)
    over_time = math.sqrt(math.log((DAY + 250e-9) / 500e-9))
    noise = [0.2, 0.2, 0.0393078, 0.0088]
    found = reading_noise(part, DAY) / over_time
    assert found.tolist() == pytest.approx(noise, rel=1e-5)


def test_a_weight_is_what_its_two_cells_differ():
    """By scalars, from the same normals."""
    weight = torch.tensor([0.5, -0.02, 0.0, -0.1])
    normal = torch.tensor([0.3, -1.2, 2.0, 0.7])
    sigma, time = 1.5, 3600.0
    result = PCMDrift(time=time, compensated=False)(weight, normal, sigma)
    noise = several(normal, 6).double()
    for k, w in enumerate(weight.tolist()):
        cells = []
        for cell, part in enumerate((abs(w) / 0.5, 0.0)):
            program, age, read = noise[3 * cell : 3 * cell + 3, k].tolist()
            g = torch.tensor(part, dtype=torch.float64)
            mean, spread = (each.item() for each in exponents(g))
            held = max(part + sigma * programming_error(g).item() * program, 0.0)
            held *= (time / 20) ** (-sigma * abs(mean + spread * age))
            cells.append(max(held * (1 + sigma * reading_noise(g, time).item() * read), 0.0))
        expected = math.copysign(0.5, w) * (cells[0] - cells[1])
        assert result[k].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_just_programmed_and_read_the_errors_are_those_of_both():
    """Where neither cell meets 0 and nothing has drifted yet."""
    part = 0.6
    result = PCMDrift(time=FIRST_READ, compensated=False)(layer(part), normals(), 0.5)[1:]
    g = torch.tensor(part, dtype=torch.float64)
    program, read = 0.5 * programming_error(g).item(), 0.5 * reading_noise(g, FIRST_READ).item()
    idle = 0.5 * programming_error(g * 0).item(), 0.5 * reading_noise(g * 0, FIRST_READ).item()
    # The other cell's conductance is max(e, 0), e of standard deviation s: its mean is
    # s / sqrt(2 pi), its mean square s^2 / 2; reading multiplies by 1 + r z, cut at 0 beyond 4 r.
    mean = part - idle[0] / math.sqrt(2 * math.pi)
    square = idle[0] ** 2 / 2 * (1 + idle[1] ** 2)
    variance = program**2 + (part**2 + program**2) * read**2
    variance += square - idle[0] ** 2 / (2 * math.pi)
    found = result.double() / 0.3
    error = math.sqrt(variance / COUNT)
    assert found.mean().item() == pytest.approx(mean, abs=6 * error + 2e-4)
    assert found.var().item() == pytest.approx(variance, rel=0.02)


def test_with_time_weights_fall_and_spread():
    large = layer(0.9)
    means, spreads = [], []
    for time in (FIRST_READ, 3600.0, DAY, 3e7):
        found = PCMDrift(time=time, compensated=False)(large, normals(), 1.0)[1:].double() / 0.27
        means.append(found.mean().item())
        spreads.append((found.std() / found.mean()).item())
        expected = (time / FIRST_READ) ** -0.049
        assert means[-1] == pytest.approx(expected, rel=0.01)
    assert spreads == sorted(spreads)


def test_the_gain_is_the_mean_factor_of_large_weights():
    drift = PCMDrift(compensated=False)
    for sigma in (0.0, 1.0, 2.0):
        found = drift(layer(0.9), normals(), sigma)[1:].double().mean().item() / 0.27
        assert drift.gain(sigma) == pytest.approx(found, rel=0.02)
    assert drift.gain(1.0) == pytest.approx(math.exp(-0.049 * FALLEN), rel=0.01)
    assert PCMDrift().gain(2.0) == 1.0


def test_compensation_gives_each_layer_its_currents_back():
    normal = normals(len(LAYER))
    raw = PCMDrift(compensated=False)(LAYER, normal, 1.0)
    mended = PCMDrift()(LAYER, normal, 1.0)
    factors = (mended / raw)[raw != 0]
    assert factors.min().item() == pytest.approx(factors.max().item(), rel=1e-4)
    # Of all cells, of either sign: the sums are those of the two parts of a layer that has both.
    cells = [PCMDrift()._cell(wanted, LAYER.max(), z, 1.0) for wanted, z in (
        (LAYER.abs(), several(normal, 6)[:3]), (torch.tensor(0.0), several(normal, 6)[3:])
    )]  # fmt: skip
    now, written = (sum(cell[k].sum().item() for cell in cells) for k in (0, 1))
    assert factors.mean().item() == pytest.approx(written / now, rel=1e-4)
    fresh = PCMDrift(time=FIRST_READ, compensated=False)(LAYER, normal, 1.0)
    assert mended.abs().sum().item() == pytest.approx(fresh.abs().sum().item(), rel=0.02)
    # A layer's factor is its own.
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    before = [layer.weight.detach().clone() for layer in model]
    with drifted(model, PCMDrift(time=3e7), 1.0, Chip(0, 0)):
        for module, clean in zip(model, before, strict=True):
            ratio = module.weight.abs().sum() / clean.abs().sum()
            assert ratio.item() == pytest.approx(1.0, abs=0.1)


def test_gradients_pass_each_weight_that_a_cell_holds():
    weight = torch.tensor([1.0, -0.5, 0.0], requires_grad=True)
    drift = PCMDrift(time=FIRST_READ, compensated=False)
    drift(weight, torch.zeros(3), 0.0).sum().backward()
    assert weight.grad.tolist() == [1.0, 1.0, 1.0]
    weight.grad = None
    PCMDrift()(weight, torch.tensor([0.5, -1.0, 0.2]), 1.0).sum().backward()
    assert torch.isfinite(weight.grad).all()
    assert (weight.grad[:2] > 0.3).all()


@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_no_conductance_grows(sigma):
    """Whatever its exponent is, that of the smallest ones has a large spread."""
    wanted, normal = torch.linspace(0, 1, COUNT), normals()
    drift = PCMDrift(time=3e7)
    own = several(normal, 6)[:3].clone()
    own[2] = 0
    held, written = drift._cell(wanted, torch.tensor(1.0), own, sigma)
    assert (held <= written + 1e-6).all()


def test_a_large_layer_is_what_a_small_one_is(monkeypatch):
    """It is computed in pieces, which their sums do not show."""
    whole = PCMDrift()(LAYER, normals(len(LAYER)), 2.0)
    monkeypatch.setattr("bayesft.drift.pcm._BLOCK", 100)
    torch.testing.assert_close(PCMDrift()(LAYER, normals(len(LAYER)), 2.0), whole)


def test_the_default_type_of_numbers_is_nothing_to_it():
    """Lightning sets another one for precision=bf16-true."""
    expected = several(normals(100), 6)
    _points.cache_clear()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.equal(several(normals(100), 6), expected)
    finally:
        torch.set_default_dtype(torch.float32)
        _points.cache_clear()


@pytest.mark.parametrize("sigma", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("weight", [torch.zeros(3, 2), torch.full((3, 2), 1e-38), torch.ones(0)])
def test_odd_layers_stay_finite(weight, sigma):
    result = PCMDrift()(weight, torch.linspace(-3, 3, weight.numel()).view(weight.shape), sigma)
    assert result.shape == weight.shape
    assert torch.isfinite(result).all()
    assert result.abs().sum() == 0 or weight.abs().sum() > 0


def test_it_can_be_mapped_over_chips():
    chips = standard_normals(0, range(5), 120).view(5, 30, 4)
    weight = LAYER[::16][:120].view(30, 4)
    together = torch.func.vmap(lambda normal: PCMDrift()(weight, normal, 1.0))(chips)
    alone = torch.stack([PCMDrift()(weight, chip, 1.0) for chip in chips])
    torch.testing.assert_close(together, alone)


def test_backends_agree():
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(20,))
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(
        torch.rand(60, 1, 12, 12, generator=generator),
        torch.randint(0, 10, (60,), generator=generator),
    )

    def confidence(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
        images, labels = batch
        return model(images).softmax(1).gather(1, labels[:, None])[:, 0]

    curves = [
        evaluate(
            model, data, PCMDrift(), [0.0, 1.0, 4.0], 20, images_per_draw=8, score=confidence,
            backend=backend,
        )
        for backend in ("in_place", "vmap")
    ]  # fmt: skip
    torch.testing.assert_close(*(torch.tensor(c.scores) for c in curves), rtol=1e-4, atol=1e-5)
    assert curves[0].scores[0] != curves[0].scores[2]


@pytest.mark.parametrize("compensated", ["no", "false", 1, None])
def test_a_compensation_that_is_neither_is_told(compensated):
    with pytest.raises(SettingError, match=r"`compensated` to be true or false"):
        PCMDrift(compensated=compensated)


def test_a_time_of_numpys_is_one():
    assert PCMDrift(time=np.int64(3600)).time == 3600


@pytest.mark.parametrize("time", [0, 19.9, -1, math.inf, math.nan, True, "86400", None])
def test_a_time_that_is_none_is_told(time):
    with pytest.raises(SettingError, match=r"`time` to be at least 20.*drift.time=86400"):
        PCMDrift(time=time)


def test_a_strength_that_is_none_is_told():
    with pytest.raises(SettingError, match=r"`sigma`.*how many times the noise of the measured"):
        PCMDrift().check(-1)


def test_of_many_draws_a_layers_fall_is_each_ones_own_to_the_bit():
    """Sums over a layer are formed in another order there, if there is more than one thread."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.1 * torch.randn(120, 400, generator=generator)
    normals = torch.randn(8, 120, 400, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = torch.func.vmap(lambda normal: PCMDrift()(weight, normal, 0.5))(normals)
        alone = torch.stack([PCMDrift()(weight, normal, 0.5) for normal in normals])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together, alone)
