"""Every network keeps the contract. A new one is a class of a few lines here."""

import pytest

from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5
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

    def test_images_too_small_are_named(self):
        with pytest.raises(SettingError, match=r"at least 12×12.*`model.image_size` is 8"):
            self.make(image_size=8)
