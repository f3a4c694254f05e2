"""Drift comes off again to the bit, whatever happens inside."""

import contextlib

import pytest
import torch
from torch import nn

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift, apply, drifted


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5)
    ).eval()


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_weights_come_back_to_the_bit_after_any_exit(error):
    model, drift = network(), LogNormalDrift()
    before = bits(model)
    expected = contextlib.nullcontext() if error is None else pytest.raises(error)
    with expected, drifted(model, drift, 0.9, Chip(0, 0)):
        assert not torch.equal(model[0].weight, before["0.weight"])
        with drifted(model, drift, 0.5, Chip(0, 1)):
            if error is not None:
                raise error
    assert same(bits(model), before)


def test_buffers_are_never_touched():
    model = network()
    before = bits(model)
    with drifted(model, LogNormalDrift(), 1.5, Chip(0, 0)):
        model(torch.ones(2, 1, 8, 8))
        for name, buffer in model.named_buffers():
            assert torch.equal(buffer, before[name]), name


def test_crossbar_is_the_weights_of_convolution_and_linear_layers_alone():
    model = network()
    before = bits(model)
    with drifted(model, LogNormalDrift(target="crossbar"), 0.5, Chip(0, 0)):
        changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"0.weight", "3.weight"}


def test_all_is_every_parameter():
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)  # no weight is 0, which no factor changes
    before = bits(model)
    with drifted(model, LogNormalDrift(), 0.5, Chip(0, 0)):
        assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_under_inference_mode_and_with_gradients_waiting():
    model = network()
    model(torch.ones(2, 1, 8, 8)).sum().backward()
    gradient = model[0].weight.grad.clone()
    before = bits(model)
    with torch.inference_mode(), drifted(model, LogNormalDrift(), 0.5, Chip(0, 0)):
        model(torch.ones(1, 1, 8, 8))
    assert same(bits(model), before)
    assert torch.equal(model[0].weight.grad, gradient)


def test_the_factor_is_log_normal():
    """Mean, variance and tails of log(w'/w), within 5 standard errors of each."""
    n, sigma = 200_000, 0.7
    weight = torch.full((n,), -3.0)
    normal = Chip(7, 0).normals({"w": weight})["w"]
    factor = LogNormalDrift()(weight, normal, sigma) / weight
    assert (factor > 0).all()
    logs = factor.log().double()
    assert abs(logs.mean()) < 5 * sigma / n**0.5
    assert abs(logs.var() - sigma**2) < 5 * sigma**2 * (2 / n) ** 0.5
    beyond = (logs > 3 * sigma).double().mean()
    tail = 0.5 * torch.erfc(torch.tensor(3 / 2**0.5)).item()
    assert abs(beyond - tail) < 5 * (tail / n) ** 0.5
    mean = torch.tensor(sigma**2 / 2).exp()
    spread = (((sigma**2 * torch.ones(())).exp() - 1) * (sigma**2 * torch.ones(())).exp()).sqrt()
    assert abs(factor.double().mean() - mean) < 5 * spread / n**0.5


def test_a_chip_is_a_function_of_seed_and_index_and_of_no_global_state():
    weights = {"a": torch.zeros(3, 4), "b": torch.zeros(50_000)}
    state = torch.get_rng_state()
    first = Chip(1, 2).normals(weights)
    torch.manual_seed(99)
    again = Chip(1, 2).normals(weights)
    assert all(torch.equal(first[name], again[name]) for name in weights)
    torch.set_rng_state(state)
    Chip(1, 2).normals(weights)
    assert torch.equal(torch.get_rng_state(), state)
    for other in (Chip(1, 3), Chip(2, 2)):
        pair = torch.stack([first["b"], other.normals(weights)["b"]])
        assert abs(torch.corrcoef(pair)[0, 1]) < 5 / 50_000**0.5


def test_the_clean_memory_is_never_written_and_comes_back_itself():
    model = network().to(memory_format=torch.channels_last)
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    strides = [parameter.stride() for parameter in model.parameters()]
    clean = [parameter.data for parameter in model.parameters()]
    before = [each.clone() for each in clean]
    with drifted(model, LogNormalDrift(), 0.9, Chip(0, 0)):
        assert [parameter.stride() for parameter in model.parameters()] == strides
        assert all(torch.equal(c, b) for c, b in zip(clean, before, strict=True))
    assert [parameter.data_ptr() for parameter in model.parameters()] == pointers


@pytest.mark.parametrize("change", ["none", "channels_last", "half_of_it_in_bfloat16"])
def test_every_weight_meets_its_own_normal(change):
    """Whatever the memory format and the types: the chip's normals in the weights' order."""
    model = network()
    if change == "channels_last":
        model.to(memory_format=torch.channels_last)
    if change == "half_of_it_in_bfloat16":
        model[3].to(torch.bfloat16)
    weights, drift = dict(model.named_parameters()), LogNormalDrift()
    normals = Chip(0, 4).normals(weights)
    expected = {name: drift(w.detach(), normals[name], 0.8) for name, w in weights.items()}
    with drifted(model, drift, 0.8, Chip(0, 4)):
        for name, weight in model.named_parameters():
            assert torch.equal(weight, expected[name]), name
            assert weight.dtype == expected[name].dtype


def test_a_drift_that_looks_at_whole_weights_sees_them_whole():
    class Scaled(LogNormalDrift):
        """Drifts by the largest weight of the layer."""

        elementwise = False

        def __call__(self, weight, normal, sigma):
            return weight + weight.abs().max() * sigma * normal

    model = network()
    before, normals = bits(model), Chip(0, 0).normals(dict(model.named_parameters()))
    with drifted(model, Scaled(), 0.5, Chip(0, 0)):
        for name, weight in model.named_parameters():
            largest = before[name].abs().max()
            assert torch.equal(weight, before[name] + largest * 0.5 * normals[name]), name
    assert same(bits(model), before)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("form", ["plain", "channels_last", "mixed"])
def test_a_draw_among_others_is_what_it_is_alone(monkeypatch, form, chips, copied):
    """And the network looks at few places, by views of each row or copies, as on a GPU."""
    monkeypatch.setattr(apply, "_copies_rows", lambda device: copied)
    model, drift = network(), LogNormalDrift()
    if form == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    elif form == "mixed":
        model[3].half()
    chips, sigmas = [Chip(0, k) for k in range(chips)], [0.3, 0.9]
    alone = []
    for sigma in sigmas:
        for chip in chips:
            with drifted(model, drift, sigma, chip):
                alone.append(bits(model))
    before, places = bits(model), set()
    with DriftingWeights(model, drift) as weights:
        for expected, _ in zip(alone, weights.draws(chips, sigmas), strict=True):
            assert same(bits(model), expected)
            places.add(tuple(parameter.data_ptr() for parameter in model.parameters()))
            # As a forward pass may do.
            model[0].weight.data = torch.zeros(4, 1, 3, 3)
    assert len(places) == (1 if copied else len(chips))
    assert same(bits(model), before)
