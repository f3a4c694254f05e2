"""What every image data module shares: the split, the image format, the loaders."""

from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.v2 import functional as image_functions

from bayesft.data.order import EpochSampler
from bayesft.errors import DataError, SettingError


class _ByBatch(TensorDataset):
    """Reads a whole batch by one indexing.

    On small images, taking and collating them one by one costs more than a training step.
    """

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, ...]:
        return self[indices]


def _as_batch(batch: Any) -> Any:
    """Collate what `_ByBatch` gives: a batch already."""
    return batch


class ImageDataModule(pl.LightningDataModule):
    """The base of the image data modules: derive and give `load_train` and `load_test`.

    The training images are split into train and validation by `split_seed`; the
    test images are a set of their own, which is read in stage `test` alone.

    Args:
        image_size: height and width in pixels; images are resized to it.
        channels: 1, or 3 (grey is repeated).
        num_classes: what the labels must stay below.
        mean: of the pixels in [0, 1], subtracted.
        std: of the pixels in [0, 1], divided by.
        val_size: how many training images are set aside for validation.
        batch_size: images per batch.
        split_seed: of the train/validation split; not the training's seed, so that
            runs with different seeds share their split.
        shuffle_seed: of the order of training images, so that networks that differ
            in what else they draw (dropout) see the same batches; None for an
            order from the global random state.
        num_workers: loader processes; 0 is fastest for sets in memory.
        pin_memory: page-locked batches, for a GPU.

    Raises:
        SettingError: a size that cannot be.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int = 1,
        num_classes: int = 10,
        mean: float = 0.0,
        std: float = 1.0,
        val_size: int,
        batch_size: int = 128,
        split_seed: int = 0,
        shuffle_seed: int | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        _check_at_least(
            1,
            image_size=image_size,
            num_classes=num_classes,
            val_size=val_size,
            batch_size=batch_size,
        )
        _check_at_least(0, num_workers=num_workers, split_seed=split_seed)
        if shuffle_seed is not None:
            _check_at_least(0, shuffle_seed=shuffle_seed)
        if channels not in (1, 3):
            raise SettingError(f"Expected `data.channels` to be 1 or 3, but got {channels!r}.")
        if not std > 0:
            raise SettingError(f"Expected `data.std` to be larger than 0, but got {std!r}.")
        self.image_size = image_size
        self.channels = channels
        self.num_classes = num_classes
        self.mean = mean
        self.std = std
        self.val_size = val_size
        self.batch_size = batch_size
        self.split_seed = split_seed
        self.shuffle_seed = shuffle_seed
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.train_set: TensorDataset | None = None
        self.val_set: TensorDataset | None = None
        self.test_set: TensorDataset | None = None

    @abstractmethod
    def load_train(self) -> tuple[Tensor, Tensor]:
        """Return the images that may be trained and validated on.

        Pixels are float32 in [0, 1], shape `(n, channels, height, width)`; labels int64.
        """

    @abstractmethod
    def load_test(self) -> tuple[Tensor, Tensor]:
        """Return the test images, in the form of `load_train`."""

    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit", "validate") and self.train_set is None:
            images, labels = self.load_train()
            self._check_labels(labels)
            train, val = split_indices(len(labels), self.val_size, self.split_seed)
            self.train_set = TensorDataset(self._prepare(images[train]), labels[train])
            self.val_set = TensorDataset(self._prepare(images[val]), labels[val])
        if stage in (None, "test") and self.test_set is None:
            images, labels = self.load_test()
            self._check_labels(labels)
            self.test_set = TensorDataset(self._prepare(images), labels)

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.train_set, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)

    def _loader(self, images: TensorDataset, *, shuffle: bool = False) -> DataLoader:
        data = _ByBatch(*images.tensors)
        order: dict[str, Any] = {"shuffle": shuffle}
        if shuffle and self.shuffle_seed is not None:
            # With a generator of its own a loader leaves the global random state alone.
            order = {
                "sampler": EpochSampler(data, self.shuffle_seed),
                "generator": torch.Generator().manual_seed(self.shuffle_seed),
            }
        return DataLoader(
            data,
            batch_size=self.batch_size,
            collate_fn=_as_batch,
            **order,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            persistent_workers=self.num_workers > 0,
        )

    def _prepare(self, images: Tensor) -> Tensor:
        size = [self.image_size, self.image_size]
        if list(images.shape[-2:]) != size:
            images = image_functions.resize(images, size, antialias=True)
        images = (images - self.mean) / self.std
        return images.expand(-1, self.channels, -1, -1) if images.shape[1] == 1 else images

    def _check_labels(self, labels: Tensor) -> None:
        if int(labels.max()) >= self.num_classes or int(labels.min()) < 0:
            raise DataError(
                f"`data.num_classes` is {self.num_classes}, but the labels run from "
                f"{int(labels.min())} to {int(labels.max())}."
            )


def split_indices(total: int, val_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return disjoint (train, validation) indices of a seeded shuffle of `range(total)`.

    Raises:
        SettingError: validation would leave nothing to train on.
    """
    if val_size >= total:
        raise SettingError(
            f"Expected `data.val_size` to be smaller than the {total} training images, "
            f"but got {val_size}."
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    return order[val_size:], order[:val_size]


def _check_at_least(least: int, **settings: Any) -> None:
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingError(
                f"Expected `data.{name}` to be an integer of at least {least}, but got {value!r}."
            )
