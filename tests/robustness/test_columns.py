"""Convolutions of many draws as matrix products are the same convolutions."""

import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.models import LeNet5
from bayesft.robustness.backends import InPlace, Vmapped, columns
from bayesft.robustness.backends.columns import Columns

DRAWS, IMAGES = 5, 7


def both(conv, shape=(4, 12, 11)):
    """Return what a layer gives with weights of its own for each draw, by it and by columns."""
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
        with Columns() as used:
            found = vmap(one)(weights, images)
    return expected, found, used.largest


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
def test_a_layer_is_the_same(settings, kernel):
    expected, found, largest = both(nn.Conv2d(4, 6, kernel, **settings))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    _, _, rows, places = expected[0].shape
    assert largest == 4 * IMAGES * rows * places * nn.Conv2d(4, 1, kernel).weight.numel()


@pytest.mark.parametrize("settings", [{"groups": 2}, {"padding": "same"}])
def test_what_is_no_plain_convolution_is_left_to_pytorch(settings):
    expected, found, largest = both(nn.Conv2d(4, 6, 3, **settings))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert largest == 0


@pytest.mark.parametrize("limit", ["_COLUMNS", "_PRODUCTS"])
def test_a_large_layer_is_left_to_pytorch(monkeypatch, limit):
    monkeypatch.setattr(columns, limit, 4 * 9 * 7 * 10 * 9 * (6 if limit == "_PRODUCTS" else 1))
    assert both(nn.Conv2d(4, 6, 3))[2] > 0
    assert both(nn.Conv2d(4, 7, 3), (4, 12, 12))[2] == 0


@pytest.mark.parametrize(
    "images", [torch.ones(2, 4, 2, 9), torch.ones(2, 3, 9, 9), torch.ones(2, 4, 9, 9).double()]
)
def test_a_mistake_is_told_as_pytorch_tells_it(images):
    conv, told = nn.Conv2d(4, 6, 3), []
    for context in (torch.no_grad(), Columns()):
        with context, pytest.raises(RuntimeError) as caught:
            conv(images)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_under_autocast_it_is_pytorchs():
    with torch.autocast("cpu", torch.bfloat16), Columns() as used:
        assert nn.Conv2d(4, 6, 3)(torch.ones(2, 4, 9, 9)).dtype == torch.bfloat16
    assert used.largest == 0


def test_many_draws_have_the_scores_of_each_and_their_memory_is_counted():
    torch.manual_seed(0)
    model = LeNet5(image_size=12).eval()
    batches = [[torch.rand(6, 1, 12, 12), torch.randint(0, 10, (6,))] for _ in range(4)]
    given = [Chip(0, k) for k in range(4)], batches, [(0.3, 0.9)] * 4
    measured, fewer = [], [part[:2] for part in batches[0]]
    with torch.no_grad(), DriftingWeights(model, LogNormalDrift()) as weights:
        expected = InPlace(model, weights, confidence)(*given)
        for used in (None, Columns()):
            backend = Vmapped(model, weights, confidence)
            assert backend._columns is None
            backend._columns = used
            torch.testing.assert_close(backend(*given), expected, rtol=1e-4, atol=1e-5)
            assert used is None or used.largest > 0
            measured.append(backend._measure(batches[0]))
            # Whatever was measured before.
            assert 3 * backend._measure(fewer) == measured[-1]
    assert measured[1] - measured[0] == used.largest > 0


def confidence(model, batch):
    images, labels = batch
    return model(images).softmax(1).gather(1, labels[:, None])[:, 0]


def test_the_largest_layer_is_what_memory_is_counted_by():
    large, small = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1)
    with torch.no_grad(), Columns() as used:
        small(large(torch.ones(5, 1, 9, 9)))
    assert used.largest == 4 * 5 * 9 * 7 * 7
