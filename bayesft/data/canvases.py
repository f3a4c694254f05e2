"""Pictures with several digits on them, made from a random generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import masks_to_boxes

from bayesft.data.settings import check_at_least, check_range
from bayesft.errors import SettingError

INK = 0.25
"""From here on, between 0 and 1, a pixel of a digit is ink; boxes are drawn around ink."""

_OVERLAP = 0.1
_PLACES = 50
_LAYOUTS = 50


@dataclass(frozen=True)
class Canvas:
    """How a picture is made: digits in several sizes at random places, noise behind them.

    The number of digits, which they are, their sizes and their places are uniformly random. Of
    the smaller of two boxes the other covers no more than a tenth: what would cover more is
    placed again, and when there is no place left all are, with new sizes.

    Args:
        image_size: height and width of the picture in pixels.
        digits: fewest and most digits on a picture.
        digit_size: smallest and largest size of a digit, the height and width in pixels that
            its image, 8×8 pixels, is resized to.
        noise: standard deviation of the noise that is added to pixels in [0, 1].

    Raises:
        SettingError: a value that cannot be: more or larger digits than there is room for.
    """

    image_size: int
    digits: Sequence[int]
    digit_size: Sequence[int]
    noise: float

    def __post_init__(self) -> None:
        check_range(1, digits=self.digits)
        check_range(4, digit_size=self.digit_size)
        check_at_least(1, image_size=self.image_size)
        number = isinstance(self.noise, (int, float)) and not isinstance(self.noise, bool)
        if not (number and 0 <= self.noise < INK):
            raise SettingError(
                f"Expected `data.noise` to be from 0.0 to below {INK}, which is how bright the "
                f"edges of digits are, but got {self.noise!r}."
            )
        smallest, largest = self.digit_size
        if largest > self.image_size:
            raise SettingError(
                f"Digits of up to {largest} pixels do not fit on a canvas of {self.image_size}. "
                "Set `data.digit_size` to smaller ones, or `data.image_size` larger."
            )
        if self.digits[1] * smallest**2 > self.image_size**2:
            raise self._full(f"even in the smallest size, {smallest} × {smallest} pixels")

    def draw(
        self, images: Tensor, labels: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a picture, its boxes and its labels.

        Args:
            images: of the digits to choose from, in [0, 1], shape `(n, 1, 8, 8)`.
            labels: of those, int64, shape `(n,)`.
            generator: what is random follows from it.

        Returns:
            The picture, uint8, shape `(1, image_size, image_size)`; boxes around the ink of
            each digit, float32, `(k, 4)`, as `Boxed` has them; the digits' labels, `(k,)`.

        Raises:
            SettingError: no way to place the digits was found.
        """
        count = int(generator.integers(self.digits[0], self.digits[1] + 1))
        chosen = generator.integers(len(labels), size=count)
        picture, boxes = self._placed(images[chosen], generator)
        picture = picture + self.noise * generator.standard_normal(picture.shape)
        pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8)
        boxes = torch.tensor(np.array(boxes), dtype=torch.float32)
        return torch.from_numpy(pixels)[None], boxes, labels[chosen]

    def _placed(
        self, images: Tensor, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the digits on a black picture, and the box of each."""
        for _ in range(_LAYOUTS):
            picture, boxes = np.zeros((self.image_size, self.image_size)), []
            sizes = generator.integers(self.digit_size[0], self.digit_size[1] + 1, len(images))
            for image, size in zip(images, sizes.tolist(), strict=True):
                digit, ink = _resized(image, size)
                corner = self._free_corner(ink, size, boxes, generator)
                if corner is None:
                    break
                x, y = corner
                part = picture[y : y + size, x : x + size]
                np.maximum(part, digit, out=part)
                boxes.append(ink + np.array([x, y, x, y]))
            else:
                return picture, boxes
        raise self._full(f"in {_LAYOUTS} tries")

    def _free_corner(
        self, ink: np.ndarray, size: int, boxes: list[np.ndarray], generator: np.random.Generator
    ) -> tuple[int, int] | None:
        """Return where the upper left corner of a digit can be; None if no place was found."""
        for _ in range(_PLACES):
            x, y = generator.integers(self.image_size - size + 1, size=2).tolist()
            box = ink + np.array([x, y, x, y])
            if all(_covered(box, other) <= _OVERLAP for other in boxes):
                return x, y
        return None

    def _full(self, how: str) -> SettingError:
        return SettingError(
            f"{self.digits[1]} digits do not fit on a canvas of {self.image_size} × "
            f"{self.image_size} pixels {how}. Set `data.digits` to fewer, `data.digit_size` to "
            "smaller ones, or `data.image_size` larger."
        )


def _resized(image: Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a digit `(1, 8, 8)` as `(size, size)`, and the box of its ink."""
    digit = functional.interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0]
    # In the steps that the picture has, so that the ink is the same there.
    digit = (digit * 255).round() / 255
    box = masks_to_boxes(digit >= INK)[0].long().numpy()
    # As `boxes_in_mask`: to the far edge of the last pixel.
    return digit[0].numpy(), box + np.array([0, 0, 1, 1])


def _covered(box: np.ndarray, other: np.ndarray) -> float:
    """Return the part of the smaller box that the other covers."""
    common = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    smaller = min((each[2:] - each[:2]).prod() for each in (box, other))
    return float(common.clip(0).prod() / smaller)
