"""Several of scikit-learn's digits on a canvas: detection without a download."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesft.data.boxed import Boxed
from bayesft.data.canvases import Canvas
from bayesft.data.detection import DetectionDataModule
from bayesft.data.digits import digits as load_digits
from bayesft.data.settings import check_at_least
from bayesft.data.split import split_indices

_VAL_DIGITS = 0.2
_PARTS = ("train", "val", "test")


class DigitsDetectionDataModule(DetectionDataModule):
    """The embedded default for detection: pictures that are made when they are asked for.

    A digit is on training pictures, on validation pictures, or on test pictures alone. Those
    of the test pictures are the test images of `DigitsDataModule`; of the others a fifth, by
    `split_seed`, are for validation. Picture i is a function of the part, i, `picture_seed`
    and, through which digits there are, `split_seed`, which test pictures do not depend on.

    Label d + 1 is the digit d, because 0 is the background.

    Args:
        image_size: see `Canvas`, as for `digits`, `digit_size` and `noise`.
        train_size: how many pictures there are to train on.
        val_size: to validate on.
        test_size: to test on.
        picture_seed: of the pictures.
        settings: see `DetectionDataModule`.

    Raises:
        SettingError: a setting that cannot be.

    Source: see `DigitsDataModule`.
    """

    def __init__(
        self,
        *,
        image_size: int = 64,
        train_size: int = 1000,
        val_size: int = 200,
        test_size: int = 400,
        digits: Sequence[int] = (1, 4),
        digit_size: Sequence[int] = (14, 28),
        noise: float = 0.05,
        picture_seed: int = 0,
        num_classes: int = 11,
        channels: int = 1,
        **settings: Any,
    ) -> None:
        check_at_least(1, train_size=train_size, val_size=val_size, test_size=test_size)
        check_at_least(0, picture_seed=picture_seed)
        super().__init__(num_classes=num_classes, val_size=val_size, channels=channels, **settings)
        self.canvas = Canvas(image_size, digits, digit_size, noise)
        self.image_size = image_size
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}
        self.picture_seed = picture_seed

    def load_train(self) -> Boxed:
        return self._pictures("train", *self._divided()[0])

    def load_val(self) -> Boxed:
        return self._pictures("val", *self._divided()[1])

    def load_test(self) -> Boxed:
        return self._pictures("test", *load_digits(test=True))

    def _divided(self) -> list[tuple[Tensor, Tensor]]:
        """Return the digits to train and to validate on, and their labels."""
        images, labels = load_digits(test=False)
        both = split_indices(len(labels), _VAL_DIGITS, self.split_seed)
        return [(images[places], labels[places]) for places in both]

    def _pictures(self, part: str, images: Tensor, labels: Tensor) -> Boxed:
        seeds = [self.picture_seed, _PARTS.index(part)]
        pictures, boxes, marks = zip(
            *(
                self.canvas.draw(images, labels + 1, np.random.default_rng([*seeds, number]))
                for number in range(self.sizes[part])
            ),
            strict=True,
        )
        return Boxed(torch.stack(pictures), boxes, marks)
