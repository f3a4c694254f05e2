"""What every data module of images and labels must do."""

import pytest
import torch
from torch.utils.data import TensorDataset

from bayesft.data import ImageDataModule
from bayesft.errors import DataError
from tests.helpers.split_contract import SplitContract, ready


def dimmed(image):
    """A random transform of any image of any type."""
    return (image * torch.rand(())).to(image.dtype)


def all_of(loader):
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


class DataContract(SplitContract):
    """Derive as `class TestMine(DataContract)`; give `sizes` and `make`.

    Attributes:
        colours: 1 for a grey set, 3 for a coloured one.
        classes: how many classes there are.
        in_memory: whether sets that are not augmented lie in memory, ready.
    """

    colours = 1
    classes = 10
    in_memory = True
    dimmed = staticmethod(dimmed)

    def make(self, **settings) -> ImageDataModule:
        raise AssertionError("return the data module, with `self.settings(**settings)`")

    def settings(self, **settings):
        """What the contract sets: validation takes about 10 images."""
        defaults = {"image_size": 16, "channels": self.colours, "batch_size": 16, "val_size": 10}
        return {**defaults, "num_classes": self.classes, "shuffle_seed": 0, **settings}

    def elements(self, batch):
        return list(zip(*batch, strict=True))

    def test_a_part_may_be_given_in_place_of_a_number(self):
        data = ready(self.make(val_size=0.25), "fit")
        if not self.own_val:
            assert len(data.val_set) == pytest.approx(0.25 * self.sizes[0], abs=5)

    @pytest.mark.parametrize("augment", [None, [dimmed]])
    @pytest.mark.parametrize("size", [9, 16, 33])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_size_and_number_of_channels(self, size, channels, augment):
        data = ready(self.make(image_size=size, channels=channels, augment=augment))
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            images, labels = next(iter(loader))
            assert images.shape[1:] == (channels, size, size)
            assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
            assert len(images) == len(labels)
            assert images.min() >= 0
            assert images.max() <= 1
            if channels > self.colours:
                assert torch.equal(images[:, 0], images[:, 2])

    def test_pixels_are_normalised(self):
        plain = all_of(ready(self.make(), "fit").val_dataloader())[0]
        data = ready(self.make(mean=0.5, std=0.25), "fit")
        torch.testing.assert_close(all_of(data.val_dataloader())[0], (plain - 0.5) / 0.25)

    def test_sets_that_are_not_augmented_are_read_in_whole_batches(self):
        data = ready(self.make(), "fit")
        for each in (data.train_set, data.val_set):
            assert isinstance(each, TensorDataset) == self.in_memory
        assert (data.val_dataloader().num_workers == 0) == self.in_memory
        data = ready(self.make(augment=[dimmed]), "fit")
        assert data.train_dataloader().num_workers > 0

    def test_labels_beyond_the_classes(self):
        labels = all_of(ready(self.make(), "test").test_dataloader())[1]
        assert labels.min() >= 0
        assert labels.max() < self.classes
        with pytest.raises(DataError, match=r"`data.num_classes` is 2, but the labels run from 0"):
            ready(self.make(num_classes=2), "fit")
