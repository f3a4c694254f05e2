"""What every data module of images with boxes must do."""

import pytest
import torch

from bayesft.data import DetectionDataModule
from bayesft.errors import DataError, SettingError
from tests.helpers.split_contract import SplitContract, ready


def dimmed(image, target):
    """A random transform of any image of any type; the boxes stay."""
    return (image * torch.rand(())).to(image.dtype), target


class DetectionContract(SplitContract):
    """Derive as `class TestMine(DetectionContract)`; give `sizes` and `make`.

    Attributes:
        colours: 1 for a grey set, 3 for a coloured one.
        classes: how many classes there are, the background included.
    """

    colours = 1
    classes: int
    dimmed = staticmethod(dimmed)

    def make(self, **settings) -> DetectionDataModule:
        raise AssertionError("return the data module, with `self.settings(**settings)`")

    def settings(self, **settings):
        defaults = {"channels": self.colours, "batch_size": 4, "num_classes": self.classes}
        return {**defaults, "val_size": 10, "shuffle_seed": 0, **settings}

    def elements(self, batch):
        return [
            (image, target["boxes"], target["labels"]) for image, target in zip(*batch, strict=True)
        ]

    @pytest.mark.parametrize("augment", [None, [dimmed]])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_batches_are_lists_as_detectors_take_them(self, channels, augment):
        data = ready(self.make(channels=channels, augment=augment))
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            images, targets = next(iter(loader))
            assert (type(images), type(targets)) == (list, list)
            assert len(images) == len(targets) == 4
            for image, target in zip(images, targets, strict=True):
                assert (type(image), image.dtype) == (torch.Tensor, torch.float32)
                assert image.shape[0] == channels
                assert 0 <= image.min() < image.max() <= 1
                if channels > self.colours:
                    assert torch.equal(image[0], image[2])
                assert set(target) == {"boxes", "labels"}
                boxes, labels = target["boxes"], target["labels"]
                assert (type(boxes), boxes.dtype) == (torch.Tensor, torch.float32)
                assert (type(labels), labels.dtype) == (torch.Tensor, torch.int64)
                assert boxes.shape == (len(labels), 4)
                assert len(labels) > 0
                assert (boxes[:, :2] < boxes[:, 2:]).all()
                assert boxes.min() >= 0
                assert (boxes[:, 2:] <= torch.tensor(image.shape[:0:-1])).all()
                assert labels.min() >= 1
                assert labels.max() < self.classes

    def test_what_is_read_is_the_readers_own(self):
        data = ready(self.make(num_workers=0), "fit")
        expected = self.read(data.val_dataloader())
        for batch in data.val_dataloader():
            for each in self.elements(batch):
                for part in each:
                    part.zero_()
        assert self.read(data.val_dataloader()) == expected

    def test_classes_are_counted_with_the_background(self):
        fewer = self.classes - 1
        if fewer == 1:
            with pytest.raises(SettingError, match=r"`data.num_classes` .* at least 2, but got 1"):
                self.make(num_classes=1)
            return
        message = rf"`data.num_classes` is {fewer}, the background \(0\) included.* to {fewer}\."
        with pytest.raises(DataError, match=message):
            ready(self.make(num_classes=fewer), "fit")
