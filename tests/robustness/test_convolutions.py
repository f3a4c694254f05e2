"""Convolutions of many draws by one kernel are the same convolutions.

On a GPU: tests/robustness/test_gpu.py.
"""

import contextlib
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.models import LeNet5
from bayesft.robustness.backends import InPlace, Vmapped, convolutions
from bayesft.robustness.backends.convolutions import Convolutions
from tests.helpers.convolving import convolve_by_groups
from tests.helpers.drifting import confidence

DRAWS, IMAGES = 5, 7


@pytest.fixture
def calls(monkeypatch):
    """The shapes that a kernel is called with, in place of which is one for any device."""
    shapes = []

    def kernel(input, weight, *given):
        # As a kernel does, which no tensor without memory has one for.
        assert input.data_ptr()
        assert not input.is_neg()
        shapes.append(tuple(input.shape))
        return convolve_by_groups(input, weight, *given)

    monkeypatch.setattr(convolutions, "_kernel", lambda device: kernel)
    return shapes


def both(conv, shape=(4, 12, 11)):
    """Return what a layer gives with weights of its own for each draw, and all draws at once."""
    torch.manual_seed(0)
    weights = {name: torch.randn(DRAWS, *own.shape) for name, own in conv.named_parameters()}
    images = torch.randn(DRAWS, IMAGES, *shape)

    def one(weights, images):
        return functional_call(conv, weights, (images,))

    draws = [{name: each[k] for name, each in weights.items()} for k in range(DRAWS)]
    with torch.no_grad(), warnings.catch_warnings():
        # Of what vmap has no rule for and does one after the other.
        warnings.simplefilter("error")
        expected = torch.stack([one(draw, images[k]) for k, draw in enumerate(draws)])
        with Convolutions():
            found = vmap(one)(weights, images)
    return expected, found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": 2},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": (2, 1)},
        {"dilation": (1, 3), "stride": (1, 2), "bias": False},
        {"padding_mode": "circular", "padding": 1},
    ],
)
@pytest.mark.parametrize("kernel", [1, 3, (2, 4)])
def test_a_layer_is_the_same(calls, settings, kernel):
    expected, found = both(nn.Conv2d(4, 6, kernel, **settings))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    [shape] = calls
    assert shape[:3] == (DRAWS, IMAGES, 4)


@pytest.mark.parametrize("settings", [{"groups": 2}, {"padding": "same"}])
def test_what_is_no_plain_convolution_is_left_to_pytorch(calls, settings):
    expected, found = both(nn.Conv2d(4, 6, 3, **settings))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not calls


def test_a_large_layer_is_left_to_pytorch(monkeypatch, calls):
    monkeypatch.setattr(convolutions, "_PRODUCTS", 4 * 9 * 7 * 10 * 9 * 6)
    both(nn.Conv2d(4, 6, 3))
    assert len(calls) == 1
    both(nn.Conv2d(4, 7, 3))
    both(nn.Conv2d(4, 6, 3), (4, 12, 12))
    assert len(calls) == 1


def test_draws_may_share_images_and_lie_in_any_dimension(calls):
    weight, images = torch.randn(6, 4, DRAWS, 3, 3), torch.randn(IMAGES, 4, 9, 9)

    def one(weight, images):
        return torch.conv2d(images, stride=2, weight=weight)

    with torch.no_grad(), Convolutions():
        found = vmap(one, (2, None))(weight, images)
    expected = torch.stack([one(own, images) for own in weight.unbind(2)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert calls == [(DRAWS, *images.shape)]


def gradient(conv, images):
    return grad(lambda weight: torch.conv2d(images, weight).square().sum())(conv.weight)


def derivative(conv, images):
    given = (conv.weight,), (torch.ones_like(conv.weight),)
    return jvp(lambda weight: torch.conv2d(images, weight), *given)[1]


def twice(conv, images):
    return vmap(lambda each: conv(each[None]))(images)


# PyTorch's own.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("use", [gradient, derivative, twice])
def test_what_a_kernel_cannot_do_is_left_to_pytorch(calls, use):
    """Differentiated it would say nothing of it, and give zeros."""
    conv, images = nn.Conv2d(4, 6, 3, bias=False), torch.randn(IMAGES, 4, 9, 9)
    weights = torch.randn(DRAWS, *conv.weight.shape)

    def one(weight):
        return use(SimpleNamespace(weight=weight), images)

    if use is twice:

        def one(weight):
            return twice(lambda each: torch.conv2d(each, weight), images)

    expected = torch.stack([one(weight) for weight in weights])
    with Convolutions():
        found = vmap(one)(weights)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert expected.abs().max() > 0.1
    assert not calls


def test_weights_that_draws_share_are_left_to_pytorch(calls):
    """It convolves all images at once with them."""
    conv, images = nn.Conv2d(4, 6, 3), torch.randn(DRAWS, IMAGES, 4, 9, 9)
    with torch.no_grad(), Convolutions():
        found = vmap(conv)(images)
        alone = conv(images[0])
    torch.testing.assert_close(found[0], alone, rtol=1e-4, atol=1e-4)
    assert not calls


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": -1}, {"padding": (1, -1)}, {"dilation": 0}, {"stride": 0},
        {"stride": (1, 1, 1)}, {"stride": ()}, {"padding": np.int64(1)}, {"groups": 2},
        {"padding": "same"},
    ],
)  # fmt: skip
def test_other_settings_are_pytorchs_to_refuse_or_to_read(calls, settings):
    weight, images = torch.randn(DRAWS, 6, 4, 3, 3), torch.randn(IMAGES, 4, 9, 9)
    told = []
    for context in (torch.no_grad(), Convolutions()):
        with context:
            try:
                told.append(vmap(lambda own: torch.conv2d(images, own, **settings))(weight).shape)
            except Exception as error:
                told.append((type(error), str(error)))
    assert told[0] == told[1]
    assert not calls


@pytest.mark.parametrize("kernel", [(12, 1), (1, 12)])
def test_long_kernels_are_left_to_pytorch(calls, kernel):
    """Each width is compiled by itself."""
    expected, found = both(nn.Conv2d(4, 6, kernel), (4, 14, 14))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not calls


@pytest.mark.parametrize(
    "shapes", [((IMAGES, 0, 9, 9), (6, 0, 3, 3)), ((0, 4, 9, 9), (6, 4, 3, 3))]
)
def test_nothing_is_pytorchs_too(calls, shapes):
    images, weight = torch.zeros(shapes[0]), torch.zeros(DRAWS, *shapes[1])
    with Convolutions(), contextlib.suppress(RuntimeError):
        vmap(lambda own: torch.conv2d(images, own))(weight)
    assert not calls


def test_a_bias_of_another_form_is_told_as_pytorch_tells_it(calls):
    weight, images = torch.randn(DRAWS, 6, 4, 3, 3), torch.randn(IMAGES, 4, 9, 9)
    for bias in (torch.ones(5), torch.ones(6).double()):
        with Convolutions(), pytest.raises(RuntimeError):
            vmap(lambda own, bias=bias: torch.conv2d(images, own, bias))(weight)
    assert not calls


def test_one_draw_is_what_pytorch_makes_of_it():
    conv, images = nn.Conv2d(4, 6, 3, stride=2), torch.randn(IMAGES, 4, 9, 9)
    given = images, conv.weight.data, conv.bias.data, [2, 2], [0, 0], [1, 1], [4, 4]
    with torch.no_grad():
        torch.testing.assert_close(convolutions._convolve(*given), conv(images))


def test_a_sign_that_memory_does_not_have_is_seen(calls):
    weight = torch.randn(DRAWS, 6, 4, 3, 3)
    images = torch._neg_view(torch.randn(IMAGES, 4, 9, 9))
    with torch.no_grad(), Convolutions():
        found = vmap(lambda own: torch.conv2d(images, own))(weight)
    torch.testing.assert_close(
        found[0], torch.conv2d(images.clone(), weight[0]), rtol=1e-4, atol=1e-4
    )
    assert len(calls) == 1


@pytest.mark.parametrize(
    "images",
    [
        torch.ones(2, 4, 2, 9),
        torch.ones(2, 3, 9, 9),
        torch.ones(2, 4, 9, 9).double(),
        torch.ones(4, 9),
    ],
)
def test_a_mistake_is_told_as_pytorch_tells_it(calls, images):
    conv, told = nn.Conv2d(4, 6, 3), []
    for context in (torch.no_grad(), Convolutions()):
        with context, pytest.raises(RuntimeError) as caught:
            conv(images)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert not calls


def test_other_types_are_left_to_pytorch(calls):
    with torch.autocast("cpu", torch.bfloat16), Convolutions():
        assert nn.Conv2d(4, 6, 3)(torch.ones(2, 4, 9, 9)).dtype == torch.bfloat16
    with Convolutions():
        assert nn.Conv2d(4, 6, 3).double()(torch.ones(2, 4, 9, 9).double()).dtype == torch.float64
    assert not calls


def test_without_a_kernel_it_is_pytorchs():
    expected, found = both(nn.Conv2d(4, 6, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert convolutions._kernel("cpu") is None


def test_many_draws_have_the_scores_of_each(calls):
    torch.manual_seed(0)
    model = LeNet5(image_size=12).eval()
    batches = [[torch.rand(6, 1, 12, 12), torch.randint(0, 10, (6,))] for _ in range(4)]
    given = [Chip(0, k) for k in range(4)], batches, [(0.3, 0.9)] * 4
    with torch.no_grad(), DriftingWeights(model, LogNormalDrift()) as weights:
        expected = InPlace(model, weights, confidence)(*given)
        backend = Vmapped(model, weights, confidence)
        torch.testing.assert_close(backend(*given), expected, rtol=1e-4, atol=1e-5)
        # On a GPU.
        assert not calls
        backend._convolutions = Convolutions()
        torch.testing.assert_close(backend(*given), expected, rtol=1e-4, atol=1e-5)
    # Of two layers, at two sigmas.
    assert [shape[:3] for shape in calls] == [(4, 6, 1), (4, 6, 6)] * 2
