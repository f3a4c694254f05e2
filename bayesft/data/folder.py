"""A folder of images, one folder for each class."""

from pathlib import Path
from typing import Any

import torch

from bayesft.data.base import ImageDataModule
from bayesft.data.files import ImageFiles, image_folders, labelled_files
from bayesft.data.sets import Labelled
from bayesft.data.settings import check_amount
from bayesft.data.split import split_indices
from bayesft.errors import DataError

_TEST_SEED = 1797


class FolderDataModule(ImageDataModule):
    """Images of your own: `root/<class>/*.jpg`, or `root/train/<class>`, `root/val`, `root/test`.

    Without `val` the validation images are split off the training images, by `split_seed`.
    Without `test` the test images are, before those and the same whatever `split_seed` is, so
    that no seed of a training or a search can move a test image into the training set.

    Classes are the names of the folders that hold training images, sorted. Images are decoded
    when they are read, so they need not fit in memory. Those that are not augmented are resized
    by their shorter side and cut in the middle.

    Args:
        root: the folder.
        num_classes: None for as many as there are folders.
        test_size: how many images, or which part of them, are set aside for testing if there
            is no folder for that.
        crop: the part of the shorter side that an image keeps; see `ImageForm`.
        settings: see `ImageDataModule`.

    Raises:
        SettingError: a setting that cannot be.
        DataError: there are no class folders at `root`, or there is only one.
    """

    def __init__(
        self,
        *,
        root: str | Path | None,
        num_classes: int | None = None,
        test_size: int | float = 0.2,
        crop: float = 0.875,
        channels: int = 3,
        **settings: Any,
    ) -> None:
        self.folders = image_folders(root)
        count = len(self.folders.classes)
        num_classes = count if num_classes is None else num_classes
        if count == num_classes == 1:
            # Which nobody typed: the config counts the folders.
            raise DataError(
                f"Expected at least two class folders in {self.folders.train} (`data.root` is "
                f"{root}), but there is only {self.folders.classes[0]}. If its images are not all "
                "of one class, make a folder for each; if data.root is one level too deep or too "
                "high, correct it."
            )
        super().__init__(num_classes=num_classes, crop=crop, channels=channels, **settings)
        check_amount("test_size", test_size)
        self.test_size = test_size

    def prepare_data(self) -> None:
        """List all files, so that what is wrong with a folder is told before a training.

        Raises:
            DataError: a class folder has no images, or `val` or `test` has classes of its own.
        """
        for folder in (self.folders.train, self.folders.val, self.folders.test):
            if folder is not None:
                self._files(folder)

    def load_train(self) -> Labelled:
        return self._divided()[0] if self.folders.test is None else self._files(self.folders.train)

    def load_val(self) -> Labelled | None:
        return None if self.folders.val is None else self._files(self.folders.val)

    def load_test(self) -> Labelled:
        return self._divided()[1] if self.folders.test is None else self._files(self.folders.test)

    def _files(self, folder: Path) -> Labelled:
        paths, labels = labelled_files(folder, self.folders.classes)
        return Labelled(ImageFiles(paths), labels)

    def _divided(self) -> tuple[Labelled, Labelled]:
        """Return (training, test) images of a folder that has no test images of its own."""
        images, labels, _ = self._files(self.folders.train)
        both = split_indices(len(labels), self.test_size, _TEST_SEED, name="test_size")
        # In the order of the listing.
        return tuple(
            Labelled(ImageFiles([images.paths[i] for i in places.tolist()]), labels[places])
            for places in (torch.sort(each).values for each in both)
        )
