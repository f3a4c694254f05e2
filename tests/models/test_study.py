"""What the networks of the factor study have besides the contract: depth, and kinds of dropout."""

import pytest
import torch
from torch import nn

from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5, site_names, sites


def seeded(network: type[nn.Module], **settings) -> nn.Module:
    torch.manual_seed(0)
    return network(**settings)


IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_depth_repeats_the_first_width():
    model = MLP(depth=6)
    shapes = [tuple(layer[0].weight.shape) for layer in model.layers]
    assert shapes == [(192, 784), *[(192, 192)] * 3, (32, 192), (10, 32)]
    assert site_names(model) == tuple(f"fc{number}" for number in range(1, 7))
    assert model(IMAGES).shape == (4, 10)


def test_inserted_layers_leave_the_others_initial_weights():
    base = [layer[0].weight for layer in seeded(MLP).layers]
    deeper = [layer[0].weight for layer in seeded(MLP, depth=9).layers]
    assert all(map(torch.equal, base, [deeper[0], *deeper[-2:]]))


@pytest.mark.parametrize("depth", [2, 3.0, True, "6"])
def test_a_depth_that_the_widths_do_not_allow(depth):
    with pytest.raises(SettingError, match=r"`model.depth` to be null or .* at least 3"):
        MLP(depth=depth)


def test_without_a_hidden_layer_there_is_no_width_to_repeat():
    assert len(MLP(hidden=(), depth=1).layers) == 1
    with pytest.raises(SettingError, match="a width to repeat"):
        MLP(hidden=(), depth=2)


def test_inserted_convolutions_leave_the_others_initial_weights():
    base, deeper = seeded(LeNet5).state_dict(), seeded(LeNet5, depth=7)
    assert site_names(deeper) == ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "fc3")
    state = deeper.state_dict()
    assert all(torch.equal(base[name], state[name]) for name in base)
    assert state["conv4.0.weight"].shape == (16, 16, 3, 3)


def test_inserted_convolutions_are_used():
    model = LeNet5(depth=6)
    before = model(IMAGES)
    nn.init.zeros_(model.conv3[0].weight)
    assert not torch.equal(model(IMAGES), before)


@pytest.mark.parametrize("depth", [4, 5.0, None])
def test_a_depth_below_five(depth):
    with pytest.raises(SettingError, match=r"`model.depth` of LeNet-5 .* at least 5"):
        LeNet5(depth=depth)


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_alpha_dropout_stands_at_every_site(network):
    """What is dropped becomes one value below 0, the same everywhere."""
    model = network(dropout_type="alpha", dropout=0.5).train()
    assert site_names(model) == site_names(network())
    for site in sites(model).values():
        maps = isinstance(site, nn.FeatureAlphaDropout)
        assert maps or isinstance(site, nn.AlphaDropout)
        values = site(torch.ones(4, 64, *((3, 3) if maps else ()))).unique()
        assert len(values) == 2
        assert values[0] < 0 < values[1]


def test_alpha_dropout_drops_whole_channels():
    kinds = [type(site).__name__ for site in sites(LeNet5(dropout_type="alpha")).values()]
    assert kinds == ["FeatureAlphaDropout"] * 2 + ["AlphaDropout"] * 3


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_the_kind_of_dropout_does_not_change_the_initial_weights(network):
    states = [seeded(network, dropout_type=kind).state_dict() for kind in ("dropout", "alpha")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_an_unknown_kind_of_dropout_is_named(network):
    with pytest.raises(SettingError, match=r"`model.dropout_type` to be one of dropout, alpha"):
        network(dropout_type="gaussian")
