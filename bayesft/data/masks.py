"""Boxes from masks that number the objects on an image."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from bayesft.data.files import opened
from bayesft.errors import DataError


def boxes_in_mask(path: str | Path) -> Tensor:
    """Return the boxes around the objects of a mask: a pixel of value k belongs to object k.

    torchvision's `masks_to_boxes` ends a box at the index of its last pixel; here it ends at
    that pixel's far edge, one more, as flips, crops and areas of boxes have it.

    Args:
        path: of the mask, an image of one channel; 0 is the background.

    Returns:
        float32, shape `(k, 4)`, x1, y1, x2, y2, in the order of the objects' numbers.

    Raises:
        DataError: the file cannot be read, has several channels or no object, or an object is
            a single row or column of pixels.
    """
    with opened(path) as image:
        mode, pixels = image.mode, np.asarray(image)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biu":
        raise DataError(
            f"{path} is no mask. Expected one channel of whole numbers, in which the pixels of "
            f"object k are k and those of the background 0, but got an image of mode {mode}."
        )
    # NumPy counts bytes far faster than PyTorch does.
    numbers = torch.from_numpy(np.unique(pixels[pixels != 0]).astype(np.int64))
    if len(numbers) == 0:
        raise DataError(
            f"{path} has no object: all pixels are 0, the background. Correct the mask, or remove "
            "it and its image."
        )
    mask = torch.from_numpy(pixels.astype(np.int64))
    boxes = masks_to_boxes(mask == numbers[:, None, None])
    flat = (boxes[:, :2] == boxes[:, 2:]).any(1)
    if flat.any():
        raise DataError(
            f"Object {int(numbers[flat][0])} in {path} has a box of zero area: its pixels are one "
            "row or one column. Correct the mask, or set those pixels to 0."
        )
    return boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])
