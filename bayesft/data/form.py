"""The form in which a network gets its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as image_functions

from bayesft.data.settings import check_at_least, check_channels
from bayesft.errors import SettingError

# Of red, green and blue, as torchvision's `rgb_to_grayscale` has them (ITU-R 601-2).
_LUMINANCE = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class ImageForm:
    """Size, channels and range of values of a network's images.

    Calling it makes an image or a batch of them ready: fitted to the size, as float32 in
    [0, 1], grey or in three channels, normalised.

    A colour set with `channels=1` becomes grey by luminance, and so do its constants: the
    mean exactly, the standard deviation as if the three colours rose and fell together.
    A grey set with `channels=3` is repeated.

    Args:
        image_size: height and width in pixels.
        channels: 1 or 3.
        mean: of the pixels in [0, 1], subtracted: a number, or a list with one for each
            colour of the set (or, for a grey set with `channels=3`, for each channel).
        std: of the pixels in [0, 1], divided by; in the form of `mean`.
        crop: None to fit by resizing to a square; else the part of the shorter side that
            is kept, in the middle of the image, with the proportions as they are.

    Raises:
        SettingError: a value that cannot be.
    """

    image_size: int
    channels: int = 1
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    crop: float | None = None

    def __post_init__(self) -> None:
        check_at_least(1, image_size=self.image_size)
        check_channels(self.channels)
        object.__setattr__(self, "mean", _numbers("mean", self.mean))
        object.__setattr__(self, "std", _numbers("std", self.std))
        if not all(number > 0 for number in self.std):
            shown = self.std if len(self.std) > 1 else self.std[0]
            raise SettingError(f"Expected `data.std` to be larger than 0, but got {shown!r}.")
        if self.crop is not None and not (_is_number(self.crop) and 0 < self.crop <= 1):
            raise SettingError(
                f"Expected `data.crop` to be above 0, up to 1, but got {self.crop!r}."
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images ready: float32, `(..., channels, image_size, image_size)`.

        Args:
            images: `(..., 1 or 3, height, width)`, uint8 or float in [0, 1].

        Raises:
            SettingError: there are more constants than the images have colours.
        """
        images = self.fit(images)
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        colours = images.shape[-3]
        mean, std = (
            self._constants(name, numbers, colours)
            for name, numbers in (("mean", self.mean), ("std", self.std))
        )
        if colours == 3 and self.channels == 1:
            images = image_functions.rgb_to_grayscale(images)
        images = (images - mean) / std
        return images.expand(*images.shape[:-3], self.channels, *images.shape[-2:])

    def fit(self, images: Tensor) -> Tensor:
        """Return the images in the size, in their own type and colours."""
        height, width = images.shape[-2:]
        if height == width == self.image_size:
            return images
        if self.crop is None:
            return image_functions.resize(images, [self.image_size] * 2, antialias=True)
        side = max(self.image_size, round(self.image_size / self.crop))
        scale = side / min(height, width)
        sizes = [max(side, round(height * scale)), max(side, round(width * scale))]
        images = image_functions.resize(images, sizes, antialias=True)
        return image_functions.center_crop(images, [self.image_size] * 2)

    def _constants(self, name: str, numbers: Sequence[float], colours: int) -> Tensor:
        if len(numbers) > max(colours, self.channels):
            raise SettingError(
                f"Expected `data.{name}` to be one number for grey images, but got {len(numbers)}: "
                f"{list(numbers)}."
            )
        constants = torch.tensor(numbers)
        if len(numbers) == 3 and colours == 3 and self.channels == 1:
            constants = (constants @ torch.tensor(_LUMINANCE))[None]
        return constants[:, None, None]


def _numbers(name: str, value: float | Sequence[float]) -> tuple[float, ...]:
    numbers = (value,) if isinstance(value, Real) else value
    listed = isinstance(numbers, Sequence) and not isinstance(numbers, str)
    if not listed or len(numbers) not in (1, 3) or not all(map(_is_number, numbers)):
        raise SettingError(
            f"Expected `data.{name}` to be a number, or a list with one for each of 3 colours, "
            f"but got {value!r}."
        )
    return tuple(map(float, numbers))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
