"""Digits on canvases: which, where, and what is wrong with settings."""

import itertools

import numpy as np
import pytest
import torch
from torchvision.ops import box_area, masks_to_boxes
from torchvision.transforms import v2

from bayesft.data import DigitsDataModule, DigitsDetectionDataModule
from bayesft.data.canvases import INK, Canvas
from bayesft.data.digits import digits
from bayesft.errors import SettingError


def canvases(**settings):
    defaults = {"train_size": 20, "val_size": 10, "test_size": 10, "num_workers": 0}
    data = DigitsDetectionDataModule(**defaults | {"shuffle_seed": 0} | settings)
    data.setup()
    return data


def parts(data):
    return data.train_set, data.val_set, data.test_set


def equal(first, second) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and all(torch.equal(a[1][key], b[1][key]) for key in a[1])
        for a, b in ((first[i], second[i]) for i in range(len(first)))
    )


def test_no_digit_is_on_pictures_of_two_parts(monkeypatch):
    chosen = []

    def kept(self, images, labels, generator):
        chosen.append({image.numpy().tobytes() for image in images})
        return torch.zeros(1, 8, 8, dtype=torch.uint8), torch.tensor([[0.0, 0, 8, 8]]), labels[:1]

    monkeypatch.setattr(Canvas, "draw", kept)
    canvases(train_size=1, val_size=1, test_size=1)
    train, val, test = chosen
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert len(val) == pytest.approx(0.2 * 1347, abs=3)
    others = DigitsDataModule(image_size=8, val_size=1)
    others.setup("test")
    assert test == {image.numpy().tobytes() for image in others.test_set.tensors[0]}
    canvases(train_size=1, val_size=1, test_size=1, split_seed=1)
    assert chosen[3] | chosen[4] == train | val
    assert chosen[4] != val
    assert chosen[5] == test


def test_a_picture_is_a_function_of_the_seed_the_part_and_its_number():
    first = canvases()
    state = torch.get_rng_state()
    more = canvases(train_size=30, val_size=15)
    assert torch.equal(torch.get_rng_state(), state)
    for longer, shorter in zip(parts(more), parts(first), strict=True):
        assert equal([longer[i] for i in range(len(shorter))], shorter)
    other = canvases(picture_seed=1)
    assert not any(equal(*pair) for pair in zip(parts(other), parts(first), strict=True))
    layouts = {tuple(s[i][1]["boxes"].flatten().tolist()) for s in parts(first) for i in range(10)}
    assert len(layouts) == 30
    # The digits change with the split, the test pictures do not.
    split = canvases(split_seed=1)
    assert equal(split.test_set, first.test_set)
    assert not equal(split.val_set, first.val_set)


def test_boxes_are_tight_around_the_ink():
    alone = canvases(digits=[1, 1], noise=0.0, train_size=100).train_set
    for image, target in (alone[i] for i in range(100)):
        box = masks_to_boxes(image >= INK)[0] + torch.tensor([0, 0, 1, 1])
        assert torch.equal(target["boxes"], box[None])
    several = canvases(digits=[2, 4], noise=0.0, train_size=100).train_set
    for image, target in (several[i] for i in range(100)):
        outside = image[0].clone()
        for x1, y1, x2, y2 in target["boxes"].int().tolist():
            part = image[0, y1:y2, x1:x2] >= INK
            assert part[0].any()
            assert part[-1].any()
            assert part[:, 0].any()
            assert part[:, -1].any()
            outside[y1:y2, x1:x2] = 0
        assert outside.max() < INK


def test_numbers_sizes_and_overlap_are_what_the_settings_say():
    data = canvases(digits=[1, 4], digit_size=[14, 28], train_size=400)
    boxes = data.train_set.found.boxes
    counts = torch.tensor([len(each) for each in boxes]).bincount(minlength=5)
    # Each of 1 to 4 on a quarter of the pictures, within four standard errors.
    assert counts[0] == 0
    assert ((counts[1:] - 100).abs() <= 4 * (400 * 0.25 * 0.75) ** 0.5).all()
    # A digit takes the whole height of its image, but for faint edges.
    heights = torch.cat([each[:, 3] - each[:, 1] for each in boxes])
    assert 12 <= heights.min() < 16
    assert 26 < heights.max() <= 28
    for some in boxes:
        for box, other in itertools.combinations(some, 2):
            corners = torch.cat([torch.maximum(box, other)[:2], torch.minimum(box, other)[2:]])
            smaller = min(box_area(torch.stack([box, other])))
            assert corners[2:].sub(corners[:2]).clamp(min=0).prod() <= 0.1 * smaller


def test_labels_are_the_digits_and_one():
    """Found again by its pixels: a canvas as large as its one digit holds that digit alone."""
    data = canvases(digits=[1, 1], digit_size=[8, 8], image_size=8, noise=0.0)
    images, labels = digits(test=True)
    known = {
        (image * 255).round().byte().numpy().tobytes(): int(label)
        for image, label in zip(images, labels, strict=True)
    }
    for image, target in (data.test_set[i] for i in range(10)):
        [label] = target["labels"].tolist()
        assert label == known[(image * 255).round().byte().numpy().tobytes()] + 1
    assert data.num_classes == 11


def test_noise_has_the_strength_of_its_setting():
    plain, noisy = (canvases(noise=noise, train_size=50).train_set for noise in (0.0, 0.1))
    clean, seen = (torch.stack([some[i][0] for i in range(50)]) for some in (plain, noisy))
    # Neither of them is cut off in the middle of the range, four standard deviations from its ends.
    middle = (clean > 0.4) & (clean < 0.6)
    away = (seen - clean)[middle]
    count = len(away)
    assert count > 1000
    assert away.mean().abs() <= 4 * 0.1 / count**0.5
    assert away.std() == pytest.approx(0.1, abs=4 * 0.1 / (2 * count) ** 0.5)


@pytest.mark.parametrize("factor", [0.5, 0.75])
def test_augmentation_moves_boxes_with_pixels(factor):
    """The box is around the ink of the augmented picture, within a pixel of interpolation."""
    shrink = v2.RandomAffine(0, translate=(0.1, 0.1), scale=(factor, factor))
    settings = {"digits": [1, 1], "noise": 0.0}
    data = canvases(augment=[shrink], **settings)
    plain = canvases(**settings).train_set
    for index, seed in data.train_dataloader().sampler:
        image, target = data.train_set[index, seed]
        ink = masks_to_boxes(image >= INK)[0] + torch.tensor([0, 0, 1, 1])
        assert (target["boxes"][0] - ink).abs().max() <= 1.5
        before, after = plain[index][1]["boxes"][0], target["boxes"][0]
        sides = after[2:] - after[:2], factor * (before[2:] - before[:2])
        torch.testing.assert_close(*sides, atol=1.0, rtol=0)


def test_what_leaves_the_picture_leaves_its_boxes():
    """A shift by a third of the picture: what is cut has a smaller box, what is gone none."""

    def shift(image, target):
        return v2.functional.affine(image, 0, [22, 0], 1, [0]), {
            **target,
            "boxes": v2.functional.affine(target["boxes"], 0, [22, 0], 1, [0]),
        }

    plain, moved = canvases(train_size=60), canvases(train_size=60, augment=[shift])
    gone = cut = 0
    for i in range(60):
        before, after = plain.train_set[i][1], moved.train_set[i][1]
        expected = (before["boxes"] + torch.tensor([22.0, 0, 22, 0])).clamp(max=64)
        left = expected[:, 2] - expected[:, 0] >= 1
        torch.testing.assert_close(after["boxes"], expected[left])
        assert torch.equal(after["labels"], before["labels"][left])
        gone += int((~left).sum())
        cut += int((expected[left, 2] == 64).sum())
    assert gone > 5
    assert cut > 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"digit_size": [14, 80]}, r"Digits of up to 80 pixels do not fit on a canvas of 64\. .*"),
        ({"image_size": 10}, r"Digits of up to 28 .* canvas of 10\. Set `data.digit_size`"),
        ({"digits": [1, 30]}, r"30 digits do not fit on a canvas of 64 × 64 pixels even in the "),
        (
            {"digits": [4, 1]},
            r"`data.digits` to be \[lowest, highest\], two integers of at least 1",
        ),
        ({"digits": [0, 1]}, r"`data.digits` .* but got \[0, 1\]"),
        ({"digits": 3}, r"`data.digits` .* but got 3"),
        ({"digit_size": [14.0, 20]}, r"`data.digit_size` .* of at least 4, but got \[14.0, 20\]"),
        ({"noise": 0.25}, r"`data.noise` to be from 0.0 to below 0.25, .* but got 0.25"),
        ({"noise": None}, r"`data.noise` .* but got None"),
        ({"train_size": 0}, r"`data.train_size` .* at least 1, but got 0"),
        ({"val_size": 0.2}, r"`data.val_size` to be an integer of at least 1, but got 0.2"),
        ({"test_size": True}, r"`data.test_size` .* but got True"),
        ({"picture_seed": -1}, r"`data.picture_seed` .* at least 0, but got -1"),
        ({"channels": 2}, r"`data.channels` to be 1 or 3, but got 2"),
        ({"augment": [3]}, r"`data.augment` to be null or a list of transforms"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(SettingError, match=message):
        DigitsDetectionDataModule(**{"val_size": 10} | settings)


def test_digits_for_which_no_place_is_found():
    """Their area would fit, but not as squares: 8 of 22 × 22 pixels on 64 × 64."""
    full = Canvas(64, [8, 8], [22, 22], 0.0)
    square = torch.ones(1, 1, 8, 8)
    with pytest.raises(
        SettingError, match=r"8 digits do not fit .* in 50 tries\. Set `data.digits`"
    ):
        full.draw(square, torch.tensor([1]), np.random.default_rng(0))
    picture, boxes, _ = Canvas(64, [2, 2], [22, 22], 0.0).draw(
        square, torch.tensor([1]), np.random.default_rng(0)
    )
    assert boxes.shape == (2, 4)
    assert picture.shape == (1, 64, 64)
