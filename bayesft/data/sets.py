"""Images by index: all ready in memory, or made ready when they are read."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from bayesft.data.form import ImageForm
from bayesft.data.seeded import SeededSet


class ByIndex(Protocol):
    """Images of any size: a tensor of them, or files."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor:
        """Return one image, uint8 or float in [0, 1], shape `(1 or 3, height, width)`."""


class Labelled(NamedTuple):
    """Images with what belongs to each.

    Attributes:
        images: pixels `(n, 1 or 3, height, width)`, uint8 or float in [0, 1]; or images by
            index that need not fit in memory.
        labels: int64, shape `(n,)`.
        groups: int64, shape `(n,)`, or None: images of one group, such as frames of one
            film, must not be divided between training and validation.
    """

    images: Tensor | ByIndex
    labels: Tensor
    groups: Tensor | None = None


class ByBatch(TensorDataset):
    """Reads a whole batch by one indexing.

    On small images, taking and collating them one by one costs more than a training step.
    """

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, ...]:
        return self[indices]


def as_batch(batch: Any) -> Any:
    """Collate what `ByBatch` gives: a batch already."""
    return batch


class ReadyWhenRead(SeededSet):
    """Images that are augmented and made ready one by one, when they are read.

    Args:
        images: where the images come from.
        labels: int64, shape `(n,)`, of all of them.
        places: int64; which of them are in this set, and in which order.
        form: what is made of an image at the end.
        augment: transforms of one image in the type and the colours that `images` has; see
            `SeededSet` for what they draw from. Pixels in memory are in the form's size by
            then; a file's image is as large as the file has it, for a random crop to choose
            from.
    """

    def __init__(
        self,
        images: Tensor | ByIndex,
        labels: Tensor,
        places: Tensor,
        *,
        form: ImageForm,
        augment: Sequence[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        self.images = images
        self.labels = labels
        self.places = places
        self.form = form
        self.augment = augment

    def __len__(self) -> int:
        return len(self.places)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the image, augmented but not yet in its form, and its label."""
        place = int(self.places[index])
        image = self.images[place]
        if self.augment and isinstance(self.images, Tensor):
            image = self.form.fit(image)
        for transform in self.augment:
            image = transform(image)
        return self.form.fit(image), self.labels[place]

    def __getitems__(self, indices: Iterable[int | tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
        images, labels = zip(*super().__getitems__(indices), strict=True)
        return list(zip(self._ready(images), labels, strict=True))

    def _ready(self, images: Sequence[Tensor]) -> Iterable[Tensor]:
        # A transform may change the type of some images, and not all need have three colours.
        if len({(image.dtype, image.shape) for image in images}) > 1:
            return map(self.form, images)
        return self.form(torch.stack(images))
