"""What every image data module shares: the settings, the split, the loaders."""

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from bayesft.data.form import ImageForm
from bayesft.data.order import EpochSampler
from bayesft.data.sets import ByBatch, ByIndex, Labelled, ReadyWhenRead, as_batch
from bayesft.data.settings import check_amount, check_at_least, check_transforms
from bayesft.data.split import split_indices
from bayesft.errors import DataError, SettingError

READY_BYTES = 2**30
"""A set that would be larger when it is ready is made ready image by image."""

_WORKERS = 4


class ImageDataModule(pl.LightningDataModule):
    """The base of the image data modules: derive and give `load_train` and `load_test`.

    The training images are split into train and validation by `split_seed`; the
    test images are a set of their own, which is read in stage `test` alone.

    Sets in memory that are not augmented are made ready once, and a batch is one indexing.

    Args:
        image_size: height and width in pixels; images are resized to it.
        channels: 1 (colours become grey), or 3 (grey is repeated).
        num_classes: what the labels must stay below.
        mean: of the pixels in [0, 1], subtracted; see `ImageForm` for one per colour.
        std: of the pixels in [0, 1], divided by.
        val_size: how many training images are set aside for validation, or which part of
            them (a number between 0.0 and 1.0).
        batch_size: images per batch.
        split_seed: of the train/validation split; not the training's seed, so that
            runs with different seeds share their split.
        shuffle_seed: of the order and the augmentation of training images, so that networks
            that differ in what else they draw (dropout) see the same batches; None for
            both from the global random state.
        augment: transforms of one training image, before it is normalised; see
            `ReadyWhenRead` for what they get. None or an empty list for none.
        num_workers: loader processes; None for none where a set is ready in memory, which
            is fastest, and one per core, up to 4, where images are read or augmented.
        pin_memory: page-locked batches, for a GPU; None for where there is one.
        crop: see `ImageForm`.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int = 1,
        num_classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        val_size: int | float,
        batch_size: int = 128,
        split_seed: int = 0,
        shuffle_seed: int | None = None,
        augment: Sequence[Callable[[Tensor], Tensor]] | None = None,
        num_workers: int | None = None,
        pin_memory: bool | None = None,
        crop: float | None = None,
    ) -> None:
        super().__init__()
        self.form = ImageForm(image_size, channels, mean, std, crop)
        check_at_least(2, num_classes=num_classes)
        check_at_least(1, batch_size=batch_size)
        check_amount("val_size", val_size)
        check_at_least(0, split_seed=split_seed)
        if shuffle_seed is not None:
            check_at_least(0, shuffle_seed=shuffle_seed)
        if num_workers is not None:
            check_at_least(0, num_workers=num_workers)
        if pin_memory not in (None, True, False):
            raise SettingError(
                f"Expected `data.pin_memory` to be null, true or false, but got {pin_memory!r}."
            )
        self.image_size = image_size
        self.channels = channels
        self.num_classes = num_classes
        self.val_size = val_size
        self.batch_size = batch_size
        self.split_seed = split_seed
        self.shuffle_seed = shuffle_seed
        self.augment = check_transforms(augment)
        self.num_workers = num_workers
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self.train_set: Dataset | None = None
        self.val_set: Dataset | None = None
        self.test_set: Dataset | None = None

    @abstractmethod
    def load_train(self) -> Labelled | tuple[Tensor | ByIndex, Tensor]:
        """Return the images that may be trained and validated on, and their labels.

        Pixels are uint8, or float in [0, 1], shape `(n, 1 or 3, height, width)`; labels
        int64. See `Labelled` for images that do not fit in memory or that belong together.
        """

    def load_val(self) -> Labelled | tuple[Tensor | ByIndex, Tensor] | None:
        """Return the validation images of a set that has its own; None to split them off."""
        return None

    @abstractmethod
    def load_test(self) -> Labelled | tuple[Tensor | ByIndex, Tensor]:
        """Return the test images, in the form of `load_train`."""

    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit", "validate") and self.train_set is None:
            self._setup_fit(Labelled(*self.load_train()), self.load_val())
        if stage in (None, "test") and self.test_set is None:
            self.test_set = self._set(Labelled(*self.load_test()))

    def train_dataloader(self) -> DataLoader:
        data, seed = _readable(self.train_set), self.shuffle_seed
        if seed is None:
            return self._loader(data, shuffle=True)
        # Lightning knows how many processes train together; None means one.
        shared = getattr(self.trainer, "distributed_sampler_kwargs", None) or {}
        sampler = EpochSampler(data, seed, seeded=isinstance(data, ReadyWhenRead), **shared)
        # In a resumed training Lightning starts the loader's workers, which ask for the first
        # batches, before it says which epoch begins.
        sampler.set_epoch(getattr(self.trainer, "current_epoch", 0))
        # With a generator of its own a loader leaves the global random state alone.
        generator = torch.Generator().manual_seed(seed)
        return self._loader(data, sampler=sampler, generator=generator)

    def val_dataloader(self) -> DataLoader:
        return self._loader(_readable(self.val_set))

    def test_dataloader(self) -> DataLoader:
        return self._loader(_readable(self.test_set))

    def _setup_fit(self, train: Labelled, val: tuple | None) -> None:
        if val is None:
            places = split_indices(
                len(train.labels), self.val_size, self.split_seed, groups=train.groups
            )
            self.val_set = self._set(train, places[1])
        else:
            places = (None,)
            self.val_set = self._set(Labelled(*val))
        self.train_set = self._set(train, places[0], self.augment)

    def _set(
        self, found: Labelled, places: Tensor | None = None, augment: Sequence[Callable] = ()
    ) -> Dataset:
        """Return the images at `places`, or all, as a set: a TensorDataset where they are ready."""
        images, labels, _ = found
        self._check_labels(labels)
        places = torch.arange(len(labels)) if places is None else places
        if isinstance(images, Tensor) and not augment:
            channels = min(self.channels, images.shape[1])
            if len(places) * channels * self.image_size**2 * 4 <= READY_BYTES:
                return TensorDataset(self.form(images[places]), labels[places])
        return ReadyWhenRead(images, labels, places, form=self.form, augment=augment)

    def _loader(self, data: Dataset, **order: Any) -> DataLoader:
        ready = isinstance(data, ByBatch)
        workers = self.num_workers
        if workers is None:
            workers = 0 if ready else min(_WORKERS, _cores())
        return DataLoader(
            data,
            batch_size=self.batch_size,
            collate_fn=as_batch if ready else default_collate,
            **order,
            num_workers=workers,
            pin_memory=self.pin_memory,
            persistent_workers=workers > 0,
        )

    def _check_labels(self, labels: Tensor) -> None:
        if int(labels.max()) >= self.num_classes or int(labels.min()) < 0:
            raise DataError(
                f"`data.num_classes` is {self.num_classes}, but the labels run from "
                f"{int(labels.min())} to {int(labels.max())}."
            )


def _readable(data: Dataset) -> Dataset:
    return ByBatch(*data.tensors) if isinstance(data, TensorDataset) else data


def _cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
