"""PennFudanPed: pedestrians in streets."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets.utils import download_and_extract_archive
from torchvision.transforms.v2 import functional as image_functions

from bayesft.data.boxed import Boxed
from bayesft.data.detection import DetectionDataModule
from bayesft.data.files import ImageFiles, opened
from bayesft.data.masks import boxes_in_mask
from bayesft.data.published import Published
from bayesft.data.settings import check_amount, check_at_least
from bayesft.data.split import split_indices
from bayesft.errors import DataError

_ADDRESS = "https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip"
_TEST_SEED = 1797


class PennFudanDataModule(Published, DetectionDataModule):
    """PennFudanPed: 170 colour photographs with the boxes of 345 pedestrians, label 1.

    The boxes are those of the masks; see `boxes_in_mask`.

    The set has no test split of its own: `test_size` images are set aside, the same whatever
    `split_seed` is, so that no seed of a training or a search can move a test image into the
    training set. The validation images are split off the others by `split_seed`.

    Args:
        image_size: the longer side's most pixels: larger images are made smaller, with their
            boxes, in their proportions; None for images as they are.
        test_size: how many images, or which part of them, are set aside for testing.
        settings: see `Published` and `DetectionDataModule`.

    Raises:
        SettingError: a setting that cannot be.

    Source: Wang, Shi, Song and Shen, "Object Detection Combining Recognition and
    Segmentation", ACCV 2007.
    """

    title = "PennFudanPed"
    layout = "PennFudanPed with PNGImages/<name>.png and PedMasks/<name>_mask.png"
    embedded = "digits_detection"

    def __init__(
        self,
        *,
        image_size: int | None = None,
        test_size: int | float = 50,
        num_classes: int = 2,
        **settings: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, **settings)
        if image_size is not None:
            check_at_least(1, image_size=image_size)
        check_amount("test_size", test_size)
        self.image_size = image_size
        self.test_size = test_size

    def prepare_data(self) -> None:
        """Download the set where there is none, and read all masks.

        So what is wrong with the files is told before a training.

        Raises:
            DataError: see `pairs_in` and `boxes_in_mask`; or there is no set and no network.
        """
        if not self._folder.exists():
            self.usable(self._download)
        self._boxed(self._pairs())

    def load_train(self) -> Boxed:
        return self._boxed(self._divided()[0])

    def load_test(self) -> Boxed:
        return self._boxed(self._divided()[1])

    @property
    def _folder(self) -> Path:
        return self.data_dir / "PennFudanPed"

    def _download(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # Whoever sees the folder sees a whole one, whatever cuts this off.
        with tempfile.TemporaryDirectory(dir=self.data_dir) as aside:
            # The archive holds a sum of each of its files.
            download_and_extract_archive(_ADDRESS, aside)
            try:
                os.rename(Path(aside) / self._folder.name, self._folder)
            except OSError:
                # Another process was faster.
                if not self._folder.exists():
                    raise

    def _pairs(self) -> list[tuple[Path, Path]]:
        if not self._folder.is_dir():
            raise self.unusable(f"there is no folder {self._folder}")
        pairs = pairs_in(self._folder)
        if not pairs:
            raise self.unusable(f"there are no images in {self._folder / 'PNGImages'}")
        return pairs

    def _divided(self) -> list[list[tuple[Path, Path]]]:
        """Return the (image, mask) pairs to train and validate on, and those to test."""
        pairs = self._pairs()
        both = split_indices(len(pairs), self.test_size, _TEST_SEED, name="test_size")
        # In the order of the listing.
        return [[pairs[i] for i in torch.sort(places).values.tolist()] for places in both]

    def _boxed(self, pairs: list[tuple[Path, Path]]) -> Boxed:
        found = [self._fitted(image, mask) for image, mask in pairs]
        boxes = [boxes for boxes, _ in found]
        labels = [torch.ones(len(each), dtype=torch.int64) for each in boxes]
        images = _FittedFiles([image for image, _ in pairs], [size for _, size in found])
        return Boxed(images, boxes, labels)

    def _fitted(self, image: Path, mask: Path) -> tuple[Tensor, list[int]]:
        """Return the boxes on an image, and its height and width, both in the size it will have.

        Raises:
            DataError: the sizes of image and mask differ; see also `boxes_in_mask`.
        """
        with opened(image) as picture, opened(mask) as numbers:
            (width, height), other = picture.size, numbers.size
        if other != (width, height):
            raise DataError(
                f"{mask} has {other[0]} × {other[1]} pixels, but its image, {image}, has {width} × "
                f"{height}. Replace one of them, or remove both."
            )
        boxes = boxes_in_mask(mask)
        scale = 1.0 if self.image_size is None else self.image_size / max(height, width)
        if scale >= 1:
            return boxes, [height, width]
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        return boxes * torch.tensor([size[1] / width, size[0] / height] * 2), size


class _FittedFiles(ImageFiles):
    """Image files, each made as large as `sizes`, height and width, has it."""

    def __init__(self, paths: list[Path], sizes: list[list[int]]) -> None:
        super().__init__(paths)
        self.sizes = sizes

    def __getitem__(self, index: int, /) -> Tensor:
        image = super().__getitem__(index)
        return image_functions.resize(image, self.sizes[index], antialias=True)


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """Return the images in `folder` with their masks, by name.

    Raises:
        DataError: an image without a mask, or a mask without an image.
    """
    images = {path.stem: path for path in (folder / "PNGImages").glob("*.png")}
    masks = {path.stem: path for path in (folder / "PedMasks").glob("*.png")}
    for stem, image in sorted(images.items()):
        if f"{stem}_mask" not in masks:
            raise DataError(
                f"{image} has no mask: there is no {folder / 'PedMasks' / stem}_mask.png. Add "
                "the mask, or remove the image."
            )
    for name, mask in sorted(masks.items()):
        stem = name.removesuffix("_mask")
        if stem == name or stem not in images:
            raise DataError(
                f"{mask} has no image: there is no {folder / 'PNGImages' / stem}.png. Add the "
                "image, or remove the mask."
            )
    return [(images[stem], masks[f"{stem}_mask"]) for stem in sorted(images)]
