"""What is made of an image: its size, its channels, its range of values."""

import pytest
import torch

from bayesft.data.form import ImageForm
from bayesft.errors import SettingError

COLOURS = torch.tensor([[0.2, 0.4, 0.9]]).view(1, 3, 1, 1).expand(2, 3, 6, 6)


def test_bytes_and_fractions_become_the_same():
    images = torch.arange(2 * 3 * 25, dtype=torch.uint8).view(2, 3, 5, 5)
    form = ImageForm(5, channels=3, mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0])
    assert torch.equal(form(images), form(images / 255))
    expected = (images / 255)[:, 2].sub(0.3).div(4)
    torch.testing.assert_close(form(images)[:, 2], expected)


def test_an_image_alone_is_treated_as_one_of_a_batch():
    images = torch.rand(2, 3, 9, 7)
    for form in (ImageForm(5, channels=1), ImageForm(5, channels=3, crop=0.9)):
        torch.testing.assert_close(form(images[1]), form(images)[1])


def test_constants_follow_an_image_that_becomes_grey():
    """A set's mean image has mean 0, in colours and in grey."""
    grey = ImageForm(6, channels=1, mean=[0.2, 0.4, 0.9], std=[0.2, 0.2, 0.2])
    torch.testing.assert_close(grey(COLOURS), torch.zeros(2, 1, 6, 6))
    luminance = 0.2989 * 0.2 + 0.587 * 0.4 + 0.114 * 0.9
    shifted = ImageForm(6, channels=1, mean=0.0, std=[0.2, 0.2, 0.2])(COLOURS)
    torch.testing.assert_close(shifted, torch.full((2, 1, 6, 6), luminance / (0.2 * 0.9999)))


def test_grey_is_repeated_and_may_have_a_constant_for_each_channel():
    grey = torch.full((2, 1, 6, 6), 0.5)
    assert torch.equal(ImageForm(6, channels=3, mean=0.5)(grey), torch.zeros(2, 3, 6, 6))
    three = ImageForm(6, channels=3, mean=[0.5, 0.4, 0.0])(grey)
    torch.testing.assert_close(three[1, :, 0, 0], torch.tensor([0.0, 0.1, 0.5]))


def test_a_crop_keeps_the_middle_and_the_proportions():
    image = torch.zeros(3, 40, 80)
    image[:, 10:30, 30:50] = 1  # a square in the middle
    whole = ImageForm(20, channels=3, crop=1.0)(image)
    assert whole.shape == (3, 20, 20)
    # Half as high and half as wide: 10 × 10 pixels, 5 from each border.
    torch.testing.assert_close(whole.sum(), torch.tensor(3 * 100.0), rtol=0.05, atol=0)
    assert whole[0, 10, 10] == 1
    assert whole[0, 2, 10] == whole[0, 10, 2] == 0
    squeezed = ImageForm(20, channels=3)(image)
    torch.testing.assert_close(squeezed.sum(), torch.tensor(3 * 50.0), rtol=0.05, atol=0)
    half = ImageForm(20, channels=3, crop=0.5)(image)
    assert half.mean() > 0.95


@pytest.mark.parametrize("shape", [(9, 200), (200, 9), (64, 64), (65, 64), (3, 3)])
@pytest.mark.parametrize("crop", [None, 0.3, 0.875, 1.0])
def test_any_proportions_fit(shape, crop):
    assert ImageForm(64, channels=3, crop=crop)(torch.rand(3, *shape)).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": [0.1, 0.2]}, r"`data.mean`.*3 colours, but got \[0.1, 0.2\]"),
        ({"mean": "grey"}, "`data.mean`.*'grey'"),
        ({"mean": [0.1, None, 0.2]}, "`data.mean`"),
        ({"mean": True}, "`data.mean`.*True"),
        ({"std": [0.1, 0.0, 0.2]}, r"`data.std` to be larger than 0.*0.0"),
        ({"std": float("nan")}, "`data.std`"),
        ({"crop": 0.0}, "`data.crop`.*0.0"),
        ({"crop": 1.5}, "`data.crop`.*1.5"),
        ({"channels": True}, "`data.channels`"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        ImageForm(8, **settings)


def test_more_constants_than_colours():
    with pytest.raises(SettingError, match=r"`data.mean` to be one number for grey.*got 3"):
        ImageForm(8, mean=[0.1, 0.2, 0.3])(torch.rand(1, 8, 8))
