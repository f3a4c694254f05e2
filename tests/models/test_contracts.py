"""Every network keeps the contract. A new one is a class of a few lines here."""

import pytest
import torch

from bayesft.drift import Chip, LogNormalDrift, drifted
from bayesft.errors import SettingError
from bayesft.models import (
    MLP,
    VGG11,
    AlexNet,
    LeNet5,
    PreActResNet,
    ResNet18,
    TrafficSignNet,
    add_sites,
    site_names,
)
from tests.helpers.contracts import AddedSitesContract, OwnSitesContract


class TestMLP(OwnSitesContract):
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


class TestLeNet5(OwnSitesContract):
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


class TestAlexNet(AddedSitesContract):
    blocks = 7
    stages = ("stage1", "stage2", "stage3", "head")

    def make(self, **settings):
        return AlexNet(**{"width": 64} | settings)


class TestVGG11(AddedSitesContract):
    blocks = 8
    stages = ("stage1", "stage2", "stage3", "stage4", "stage5")

    def make(self, **settings):
        return VGG11(**settings)

    def test_9_2_million_weights(self):
        """Those of the eight convolutions of configuration A, and 512 × 10."""
        convolutions = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512)] + 3 * [(512, 512)]
        weights = sum(9 * inputs * outputs + outputs for inputs, outputs in convolutions)
        assert sum(p.numel() for p in self.make().parameters()) == weights + 5130


class TestResNet18(AddedSitesContract):
    image_shape = (3, 16, 16)
    blocks = 20
    stages = ("stage1", "stage2", "stage3", "stage4")

    def make(self, **settings):
        return ResNet18(**settings)


class TestPreActResNet18(AddedSitesContract):
    image_shape = (3, 16, 16)
    blocks = 20
    stages = ("stage1", "stage2", "stage3", "stage4")

    def make(self, **settings):
        return PreActResNet(depth=18, **settings)


def test_bottlenecks_have_a_site_for_each_convolution_and_learn():
    """In all three convolutions of each, with norms and without."""
    for norm in ("none", "batch"):
        torch.manual_seed(0)
        model = PreActResNet(depth=50, norm=norm).train()
        add_sites(model, (3, 16, 16), dropout=0.1)
        assert len(site_names(model)) == 53
        images, labels = torch.rand(4, 3, 16, 16), torch.arange(4)
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(("depth", "convolutions"), [(18, 20), (34, 36), (50, 53), (152, 155)])
def test_depths(depth, convolutions):
    """Twice or three times the blocks, the stem, and a projection where the shape changes."""
    model = PreActResNet(depth=depth)
    assert sum(isinstance(m, torch.nn.Conv2d) for m in model.modules()) == convolutions


def test_another_depth_is_named():
    with pytest.raises(SettingError, match=r"`model.depth` to be one of 18, 34, 50, 152.*101"):
        PreActResNet(depth=101)


@pytest.mark.parametrize("model", [ResNet18, PreActResNet])
def test_a_deep_network_without_norms_starts_tame(model):
    """The variance of the sum over damped branches does not grow with their number."""
    torch.manual_seed(0)
    network = model(norm="none")
    if model is PreActResNet:
        network = model(depth=152, norm="none")
    with torch.no_grad():
        assert 0.1 < network(torch.randn(8, 3, 32, 32)).std() < 10


class TestTrafficSignNet(AddedSitesContract):
    blocks = 8
    stages = ("stage1", "stage2", "stage3", "head")

    def make(self, **settings):
        return TrafficSignNet(**settings)

    def test_it_starts_as_the_identity(self):
        model, images = self.make(), self.images()
        torch.testing.assert_close(model.straighten(images), images)

    @pytest.mark.parametrize("sigma", [1.5, 4.0, 20.0])
    def test_the_grid_survives_any_drift(self, sigma):
        """At 20 a factor can overflow, and differences of such become not-a-numbers."""
        torch.manual_seed(0)
        model = self.make().eval()
        torch.nn.init.normal_(model.localisation[-1].weight)
        for index in range(20):
            with drifted(model.localisation, LogNormalDrift(), sigma, Chip(0, index)):
                affine, seen = model.affine_map(self.images()), model.straighten(self.images())
            assert affine.shape == (4, 2, 3)
            assert (affine - torch.eye(2, 3)).abs().max() <= 2
            assert torch.isfinite(seen).all()
            assert seen.min() >= 0
            assert seen.max() <= self.images().max() + 1e-5
