"""What every data module of images and labels shares: form and sets."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from bayesft.data.form import ImageForm
from bayesft.data.module import SplitDataModule
from bayesft.data.sets import ByBatch, ByIndex, Labelled, ReadyWhenRead, as_batch
from bayesft.errors import DataError

READY_BYTES = 2**30
"""A set that would be larger when it is ready is made ready image by image."""


class ImageDataModule(SplitDataModule):
    """The base of the image data modules: derive and give `load_train` and `load_test`.

    Sets in memory that are not augmented are made ready once, and a batch is one indexing.

    Args:
        image_size: height and width in pixels; images are resized to it.
        val_size: see `SplitDataModule`.
        channels: 1 (colours become grey), or 3 (grey is repeated).
        num_classes: what the labels must stay below.
        mean: of the pixels in [0, 1], subtracted; see `ImageForm` for one per colour.
        std: of the pixels in [0, 1], divided by.
        crop: see `ImageForm`.
        settings: see `SplitDataModule`. A transform in `augment` is of one image, before it is
            normalised; see `ReadyWhenRead` for what it gets.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(
        self,
        *,
        image_size: int,
        val_size: int | float,
        channels: int = 1,
        num_classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        crop: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, val_size=val_size, **settings)
        self.form = ImageForm(image_size, channels, mean, std, crop)
        self.image_size = image_size
        self.channels = channels

    @abstractmethod
    def load_train(self) -> Labelled | tuple[Tensor | ByIndex, Tensor]:
        """Return the images that may be trained and validated on, and their labels.

        Pixels are uint8, or float in [0, 1], shape `(n, 1 or 3, height, width)`; labels
        int64. See `Labelled` for images that do not fit in memory or that belong together.
        """

    def _found(self, loaded: tuple) -> Labelled:
        found = Labelled(*loaded)
        lowest, highest = int(found.labels.min()), int(found.labels.max())
        if highest >= self.num_classes or lowest < 0:
            raise DataError(
                f"`data.num_classes` is {self.num_classes}, but the labels run from {lowest} to "
                f"{highest}."
            )
        return found

    def _set(
        self, found: Labelled, places: Tensor | None = None, augment: Sequence[Callable] = ()
    ) -> Dataset:
        """Return the images at `places`, or all, as a set: a TensorDataset where they are ready."""
        images, labels, _ = found
        places = torch.arange(len(labels)) if places is None else places
        if isinstance(images, Tensor) and not augment:
            channels = min(self.channels, images.shape[1])
            if len(places) * channels * self.image_size**2 * 4 <= READY_BYTES:
                return TensorDataset(self.form(images[places]), labels[places])
        return ReadyWhenRead(images, labels, places, form=self.form, augment=augment)

    def _reading(self, data: Dataset) -> tuple[Dataset, Callable, bool]:
        if isinstance(data, TensorDataset):
            return ByBatch(*data.tensors), as_batch, True
        return data, default_collate, False
