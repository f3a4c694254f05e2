"""A detection set of one's own: what it gets for nothing, and what it may not be."""

import pytest
import torch
from torchvision.transforms import v2

from bayesft.data import Boxed, DetectionDataModule
from bayesft.errors import DataError

BOX = torch.tensor([[1.0, 2.0, 5.0, 7.0]])


class Mine(DetectionDataModule):
    """Twelve pictures in colours, of which each holds its number; four belong together."""

    change = staticmethod(lambda found: found)

    def load_train(self):
        images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 3, 8, 10)
        labels = [torch.tensor([1 + i % 2]) for i in range(12)]
        return self.change(Boxed(images, [BOX] * 12, labels, torch.arange(12) // 4))

    load_test = load_train


def mine(**settings):
    return Mine(**{"num_classes": 3, "val_size": 3, "num_workers": 0} | settings)


def numbers(part):
    return {int((part[i][0][0, 0, 0] * 255).round()) for i in range(len(part))}


def test_images_that_belong_together_stay_together():
    data = mine()
    data.setup("fit")
    train, val = numbers(data.train_set), numbers(data.val_set)
    assert sorted(train | val) == list(range(12))
    assert len(val) == 4
    assert {number // 4 for number in val} == {min(val) // 4}


def test_colours_become_grey_by_luminance():
    data = mine(channels=1)
    data.setup("fit")
    image, _ = data.val_set[0]
    assert image.shape == (1, 8, 10)
    torch.testing.assert_close(image * 255, (image * 255).round(), atol=0.01, rtol=0)


def test_pixels_that_are_numbers_already_stay_as_they_are():
    data = mine()
    data.change = lambda found: found._replace(images=found.images / 20)
    data.setup("fit")
    seen = sorted(float(data.train_set[i][0][0, 0, 0]) for i in range(8))
    seen += [float(data.val_set[i][0][0, 0, 0]) for i in range(4)]
    assert sorted(seen) == pytest.approx([i / 20 for i in range(12)])


def test_an_image_may_lose_all_its_boxes():
    """To a detector it is background."""

    def right(image, target):
        part = {"top": 0, "left": 6, "height": 8, "width": 4}
        boxes = v2.functional.crop(target["boxes"], **part)
        return v2.functional.crop(image, **part), {**target, "boxes": boxes}

    data = mine(augment=[right])
    data.setup("fit")
    image, target = data.train_set[0]
    assert image.shape == (3, 8, 4)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("boxes", [[3.0, 2, 3, 7]], r"box of image 2 has no area: .* = \[3.0, 2.0, 3.0, 7.0\]"),
        ("boxes", [[5.0, 2, 1, 7]], r"box of image 2 has no area"),
        ("boxes", [[1.0, 7, 5, 7]], r"box of image 2 has no area"),
        ("boxes", [[1.0, 2, 5, float("nan")]], r"box of image 2 has no area"),
        ("boxes", [[1.0, 2, float("inf"), 7]], r"box of image 2 has no area"),
        ("boxes", [[1, 2, 5, 7]], r"boxes of image 2 as float32 .* but got torch.int64"),
        ("boxes", [1.0, 2, 5, 7], r"boxes of image 2 as float32 of shape \(1, 4\).* shape \(4,\)"),
        ("labels", [1, 1], r"boxes of image 2 as float32 of shape \(2, 4\)"),
        ("labels", [0], r"the background \(0\) included.* from 1 to 2, but they run from 0 to 2"),
        ("labels", [3], r"`data.num_classes` is 3, .* but they run from 1 to 3"),
    ],
)
def test_what_boxes_may_not_be(part, value, message):
    def change(found):
        parts = list(getattr(found, part))
        parts[2] = torch.tensor(value)
        return found._replace(**{part: parts})

    data = mine()
    data.change = change
    with pytest.raises(DataError, match=message):
        data.setup("fit")


@pytest.mark.parametrize("count", [0, 11])
def test_each_image_has_its_boxes(count):
    data = mine()
    data.change = lambda found: found._replace(boxes=[BOX] * count)
    with pytest.raises(DataError, match=rf"got 12 images, boxes of {count} and labels of 12"):
        data.setup("test")
