"""What every data module of images with boxes shares."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from bayesft.data.boxed import Boxed, BoxedSet, as_lists, check_boxed
from bayesft.data.module import SplitDataModule
from bayesft.data.settings import check_channels


class DetectionDataModule(SplitDataModule):
    """The base of the data modules for detection: derive and give `load_train` and `load_test`.

    A batch is `(images, targets)`, two lists, as torchvision's detectors take them: an image
    is float32 in [0, 1], `(channels, height, width)`; a target is a dict of `boxes`, float32
    `(k, 4)`, x1, y1, x2, y2 in pixels, and `labels`, int64 `(k,)`.

    Args:
        num_classes: the background included: labels run from 1 to `num_classes - 1`, and 0
            is the background of torchvision's detectors.
        channels: 1 (colours become grey), or 3 (grey is repeated).
        settings: see `SplitDataModule`. What a transform in `augment` gets: see `BoxedSet`.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(self, *, channels: int = 3, **settings: Any) -> None:
        super().__init__(**settings)
        check_channels(channels)
        self.channels = channels

    @abstractmethod
    def load_train(self) -> Boxed:
        """Return the images that may be trained and validated on, with their boxes."""

    def _found(self, loaded: tuple) -> Boxed:
        found = Boxed(*loaded)
        check_boxed(found, self.num_classes)
        return found

    def _set(
        self, found: Boxed, places: Tensor | None = None, augment: Sequence[Callable] = ()
    ) -> BoxedSet:
        places = torch.arange(len(found.labels)) if places is None else places
        return BoxedSet(found, places, channels=self.channels, augment=augment)

    def _reading(self, data: Dataset) -> tuple[Dataset, Callable, bool]:
        # A detector's step takes far longer than to augment images that are in memory.
        return data, as_lists, isinstance(data.found.images, Tensor)
