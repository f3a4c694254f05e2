"""Images with boxes on them, by index."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as image_functions

from bayesft.data.seeded import SeededSet
from bayesft.data.sets import ByIndex
from bayesft.errors import DataError

Target = dict[str, Tensor]
"""What is on an image: `boxes`, float32 `(k, 4)`, and `labels`, int64 `(k,)`."""


class Boxed(NamedTuple):
    """Images with the boxes on each.

    A box is x1, y1, x2, y2 in pixels, where 0 is the left or upper edge of the first pixel
    and the image's width or height the far edge of the last.

    Attributes:
        images: pixels `(n, 1 or 3, height, width)`, uint8 or float in [0, 1]; or images by
            index, of any size, that need not fit in memory.
        boxes: for each image float32, shape `(k, 4)`.
        labels: for each image int64, shape `(k,)`, from 1: 0 is the background.
        groups: as `Labelled` has them.
    """

    images: Tensor | ByIndex
    boxes: Sequence[Tensor]
    labels: Sequence[Tensor]
    groups: Tensor | None = None


class BoxedSet(SeededSet):
    """Images, float32 in [0, 1], each with its target; what is read is the reader's own.

    They are not normalised: torchvision's detectors do that themselves.

    Args:
        found: the images and their boxes.
        places: int64; which of them are in this set, and in which order.
        channels: 1 (colours become grey), or 3 (grey is repeated).
        augment: transforms of `(image, target)`, as torchvision.transforms.v2 has them: of
            `tv_tensors.Image`, in the type and the colours that the images have, and a dict
            with `tv_tensors.BoundingBoxes` and labels. See `SeededSet` for what they draw
            from. At the end boxes are cut at the image's edges, and those of which less than
            a pixel is left are dropped with their labels; an image without a box may remain.
    """

    def __init__(
        self,
        found: Boxed,
        places: Tensor,
        *,
        channels: int,
        augment: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.found = found
        self.places = places
        self.channels = channels
        self.augment = (*augment, v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes())
        self.augmented = bool(augment)

    def __len__(self) -> int:
        return len(self.places)

    def read(self, index: int) -> tuple[Tensor, Target]:
        place = int(self.places[index])
        image, boxes, labels = (part[place] for part in self.found[:3])
        boxes, labels = boxes.clone(), labels.clone()
        if self.augmented:
            image, boxes, labels = self._augmented(image, boxes, labels)
        return self._ready(image), {"boxes": boxes, "labels": labels}

    def _augmented(self, image: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        size = tuple(image.shape[-2:])
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
        sample = tv_tensors.Image(image), {"boxes": boxes, "labels": labels}
        for transform in self.augment:
            sample = transform(*sample)
        image, target = sample
        parts = image, target["boxes"], target["labels"]
        return tuple(part.as_subclass(Tensor) for part in parts)

    def _ready(self, image: Tensor) -> Tensor:
        image = image.float() / 255 if image.dtype == torch.uint8 else image.to(torch.float32)
        if image.shape[0] == 3 and self.channels == 1:
            return image_functions.rgb_to_grayscale(image)
        return image.repeat(self.channels // image.shape[0], 1, 1)


def as_lists(samples: Sequence[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Collate images that need not be of one size: (images, targets), a list of each."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def check_boxed(found: Boxed, num_classes: int) -> None:
    """Check boxes and labels.

    Raises:
        DataError: there are no images, an image's boxes and labels do not match, a box has no
            area, or a label is the background's or beyond the classes.
    """
    if not len(found.images) == len(found.boxes) == len(found.labels) > 0:
        raise DataError(
            "Expected boxes and labels for each image, but got "
            f"{len(found.images)} images, boxes of {len(found.boxes)} and labels of "
            f"{len(found.labels)}."
        )
    for number, (boxes, labels) in enumerate(zip(found.boxes, found.labels, strict=True)):
        if boxes.shape != (len(labels), 4) or boxes.dtype != torch.float32:
            raise DataError(
                f"Expected the boxes of image {number} as float32 of shape ({len(labels)}, 4), one "
                f"for each label, but got {boxes.dtype} of shape {tuple(boxes.shape)}."
            )
        good = (boxes[:, :2] < boxes[:, 2:]).all(1) & boxes.isfinite().all(1)
        if not good.all():
            raise DataError(
                f"A box of image {number} has no area: x1, y1, x2, y2 = "
                f"{boxes[~good][0].tolist()}. Expected x1 < x2 and y1 < y2. Correct the box, or "
                "remove it."
            )
    labels = torch.cat(tuple(found.labels))
    if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise DataError(
            f"`data.num_classes` is {num_classes}, the background (0) included, so that labels may "
            f"be from 1 to {num_classes - 1}, but they run from {int(labels.min())} to "
            f"{int(labels.max())}."
        )
