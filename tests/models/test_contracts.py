"""Every network keeps the contract. A new one is a class of a few lines here."""

import pytest
import torch
from torch import nn

from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5, site_names, sites
from tests.helpers.contracts import NetworkContract


class TestMLP(NetworkContract):
    names = ("fc1", "fc2", "fc3")

    def make(self, **settings):
        return MLP(**settings)

    def test_the_papers_network(self):
        """784-192-32-10: the sizes of its three matrices."""
        shapes = [tuple(layer[0].weight.shape) for layer in self.make().layers]
        assert shapes == [(192, 784), (32, 192), (10, 32)]

    def test_any_widths_and_depth(self):
        model = MLP(channels=3, image_size=4, hidden=(9, 8, 7, 6), num_classes=5)
        shapes = [tuple(layer[0].weight.shape) for layer in model.layers]
        assert shapes == [(9, 48), (8, 9), (7, 8), (6, 7), (5, 6)]

    def test_depth_repeats_the_first_width(self):
        model = self.make(depth=6)
        shapes = [tuple(layer[0].weight.shape) for layer in model.layers]
        assert shapes == [(192, 784), *[(192, 192)] * 3, (32, 192), (10, 32)]
        assert site_names(model) == tuple(f"fc{number}" for number in range(1, 7))

    def test_inserted_layers_leave_the_others_initial_weights(self):
        torch.manual_seed(0)
        base = [layer[0].weight for layer in self.make().layers]
        torch.manual_seed(0)
        deeper = [layer[0].weight for layer in self.make(depth=9).layers]
        assert all(map(torch.equal, base, [deeper[0], *deeper[-2:]]))

    @pytest.mark.parametrize("depth", [2, 3.0, True, "6"])
    def test_a_depth_that_the_widths_do_not_allow(self, depth):
        with pytest.raises(SettingError, match=r"`model.depth` to be null or .* at least 3"):
            self.make(depth=depth)

    def test_without_a_hidden_layer_there_is_no_width_to_repeat(self):
        assert len(self.make(hidden=(), depth=1).layers) == 1
        with pytest.raises(SettingError, match="a width to repeat"):
            self.make(hidden=(), depth=2)

    @pytest.mark.parametrize("hidden", [[0], [8, -1], [2.5]])
    def test_widths_below_one(self, hidden):
        with pytest.raises(SettingError, match=r"`model.hidden`"):
            MLP(hidden=hidden)


class TestLeNet5(NetworkContract):
    names = ("conv1", "conv2", "fc1", "fc2", "fc3")

    def make(self, **settings):
        return LeNet5(**settings)

    def test_61706_weights(self):
        """The parameters of the usual LeNet-5: 156 + 2416 + 48120 + 10164 + 850."""
        assert sum(parameter.numel() for parameter in self.make().parameters()) == 61_706

    @pytest.mark.parametrize("size", [12, 13, 32, 41])
    def test_other_image_sizes(self, size):
        self.image_shape = (1, size, size)
        assert self.make(image_size=size)(self.images()).shape == (4, 10)

    def test_depth_inserts_convolutions_and_leaves_the_others_initial_weights(self):
        torch.manual_seed(0)
        base = self.make().state_dict()
        torch.manual_seed(0)
        deeper = self.make(depth=7)
        assert site_names(deeper) == ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "fc3")
        state = deeper.state_dict()
        assert all(torch.equal(base[name], state[name]) for name in base)
        assert state["conv4.0.weight"].shape == (16, 16, 3, 3)

    def test_inserted_convolutions_are_used(self):
        model = self.make(depth=6)
        before = model(self.images())
        nn.init.zeros_(model.conv3[0].weight)
        assert not torch.equal(model(self.images()), before)

    @pytest.mark.parametrize("depth", [4, 5.0, None])
    def test_a_depth_below_five(self, depth):
        with pytest.raises(SettingError, match=r"`model.depth` of LeNet-5 .* at least 5"):
            self.make(depth=depth)

    def test_images_too_small_are_named(self):
        with pytest.raises(SettingError, match=r"at least 12×12.*`model.image_size` is 8"):
            self.make(image_size=8)


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_alpha_dropout_stands_at_every_site(network):
    """What is dropped becomes one value below 0, the same everywhere; its rate is set as usual."""
    model = network(dropout_type="alpha", dropout=0.5).train()
    assert site_names(model) == site_names(network())
    for site in sites(model).values():
        assert isinstance(site, (nn.AlphaDropout, nn.FeatureAlphaDropout))
        ones = torch.ones(4, 64, *(() if isinstance(site, nn.AlphaDropout) else (3, 3)))
        values = site(ones).unique()
        assert len(values) == 2
        assert values[0] < 0 < values[1]


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_the_kind_of_dropout_does_not_change_the_initial_weights(network):
    states = []
    for kind in ("dropout", "alpha"):
        torch.manual_seed(0)
        states.append(network(dropout_type=kind).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("network", [MLP, LeNet5])
def test_an_unknown_kind_of_dropout_is_named(network):
    with pytest.raises(SettingError, match=r"`model.dropout_type` to be one of dropout, alpha"):
        network(dropout_type="gaussian")
