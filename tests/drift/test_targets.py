"""Which parameters drift."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from bayesft.drift import Chip, LogNormalDrift, check_sigma, drifted
from bayesft.errors import SettingError

CROSSBAR = LogNormalDrift(target="crossbar")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.Linear(2, 2), {"weight"}),
        (nn.ConvTranspose1d(1, 1, 2), {"weight"}),
        (nn.Conv3d(1, 1, 1), {"weight"}),
        (nn.Bilinear(2, 2, 2), {"weight"}),
        (nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2), nn.Linear(2, 2)), {"2.weight"}),
        (nn.MultiheadAttention(4, 2), {"in_proj_weight", "out_proj.weight"}),
        (
            nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
            {"q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"},
        ),
    ],
)
def test_a_crossbar_holds_weight_matrices(module, names):
    assert set(CROSSBAR.parameters(module)) == names


def test_a_shared_weight_drifts_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert list(CROSSBAR.parameters(model)) == ["0.weight"]
    clean = model[0].weight.detach().clone()
    with drifted(model, CROSSBAR, 0.5, Chip(0, 0)):
        assert model[1].weight is model[0].weight
        ratio = model[0].weight / clean
    normal = Chip(0, 0).normals({"w": clean})["w"]
    torch.testing.assert_close(ratio, torch.exp(0.5 * normal))


def test_a_matrix_that_is_an_embedding_too_is_in_a_crossbar():
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3))
    model[1].weight = model[0].weight
    assert list(CROSSBAR.parameters(model)) == ["0.weight"]


@pytest.mark.parametrize(
    "compute",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
)
def test_a_matrix_that_is_computed_is_not_left_without_drift(compute):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    compute(model[0])
    with pytest.raises(SettingError, match=r"meets 0.weight, which is no parameter.*target=all"):
        CROSSBAR.parameters(model)
    assert len(LogNormalDrift().parameters(model)) >= 4


def test_integers_stay():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.codes = nn.Parameter(torch.arange(4), requires_grad=False)
            self.scale = nn.Parameter(torch.ones(1))

    assert list(LogNormalDrift().parameters(Quantised())) == ["scale"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: nn.LazyLinear(2), "is not there yet. Run a batch"),
        (lambda: nn.Linear(2, 2, device="meta"), "is on the meta device, without numbers"),
        (lambda: nn.Linear(2, 2, dtype=torch.complex64), "is torch.complex64 in a torch.strided"),
        (
            lambda: nn.ParameterDict({"weight": torch.eye(2).to_sparse()}),
            "is torch.float32 in a torch.sparse_coo",
        ),
        (
            lambda: nn.ParameterDict(
                {"weight": nn.Parameter(torch.ones(2).to(torch.float8_e5m2), requires_grad=False)}
            ),
            "is torch.float8_e5m2",
        ),
    ],
)
def test_weights_that_are_no_numbers_yet_or_none_that_drift_knows(make, problem):
    with pytest.raises(SettingError, match=f"weight cannot drift: it {problem}"):
        LogNormalDrift().parameters(make())


def test_a_network_that_was_made_in_inference_mode():
    with torch.inference_mode():
        model = nn.Linear(2, 2)
    with pytest.raises(SettingError, match=r"made in torch.inference_mode\(\). Make or load"):
        LogNormalDrift().parameters(model)


def test_weights_on_two_devices():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    on = iter(["cpu", "cuda:0"])

    class There(nn.Parameter):
        device = property(lambda self: torch.device(self.place))

    for layer in model:
        layer.bias = None
        layer.weight = There(torch.ones(2, 2))
        layer.weight.place = next(on)
    with pytest.raises(SettingError, match=r"are on cpu and cuda:0. Put them on one device"):
        LogNormalDrift().parameters(model)


@pytest.mark.parametrize("drift", [LogNormalDrift(), CROSSBAR])
def test_nothing_to_drift_is_told(drift):
    with pytest.raises(SettingError, match="finds nothing to drift in ReLU"):
        drift.parameters(nn.ReLU())


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf, "much", None, True])
def test_a_sigma_must_be_a_number_from_zero_up(sigma):
    with pytest.raises(SettingError, match="`sigma` to be a finite number"):
        check_sigma(sigma)
    with pytest.raises(SettingError), drifted(nn.Linear(1, 1), CROSSBAR, sigma, Chip(0, 0)):
        pass


@pytest.mark.parametrize("arguments", [(-1, 0), (0, -1), (0.5, 0), (True, 0)])
def test_a_chip_needs_whole_numbers(arguments):
    with pytest.raises(SettingError, match="integer, 0 or larger"):
        Chip(*arguments)
