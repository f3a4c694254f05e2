"""What every data module shares: the split, the order, the loaders."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bayesft.data.order import EpochSampler
from bayesft.data.seeded import SeededSet
from bayesft.data.settings import check_amount, check_at_least, check_transforms
from bayesft.data.split import split_indices
from bayesft.errors import SettingError

_WORKERS = 4


class SplitDataModule(pl.LightningDataModule, ABC):
    """The base of the data modules: train, validation and test, which never overlap.

    The training images are split into train and validation by `split_seed`, unless the set has
    validation images of its own; the test images are a set of their own, which is read in
    stage `test` alone.

    Derive and give `load_train`, `load_test`, `_found`, `_set` and `_reading`.

    Args:
        num_classes: what the labels must stay below.
        val_size: how many training images are set aside for validation, or which part of
            them (a number between 0.0 and 1.0).
        batch_size: images per batch.
        split_seed: of the train/validation split; not the training's seed, so that
            runs with different seeds share their split.
        shuffle_seed: of the order and the augmentation of training images, so that networks
            that differ in what else they draw (dropout) see the same batches; None for
            both from the global random state.
        augment: transforms of training images; None or an empty list for none.
        num_workers: loader processes; None for none where a set is ready in memory, which
            is fastest, and one per core, up to 4, where images are read or augmented.
        pin_memory: page-locked batches, for a GPU; None for where there is one.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        val_size: int | float,
        batch_size: int = 128,
        split_seed: int = 0,
        shuffle_seed: int | None = None,
        augment: Sequence[Callable[..., Any]] | None = None,
        num_workers: int | None = None,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
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
    def load_train(self) -> tuple:
        """Return the images that may be trained and validated on, with what belongs to each."""

    def load_val(self) -> tuple | None:
        """Return the validation images of a set that has its own; None to split them off."""
        return None

    @abstractmethod
    def load_test(self) -> tuple:
        """Return the test images, in the form of `load_train`."""

    @abstractmethod
    def _found(self, loaded: tuple) -> Any:
        """Return what was loaded in one form, with `labels` and `groups`, and check it."""

    @abstractmethod
    def _set(
        self, found: Any, places: Tensor | None = None, augment: Sequence[Callable] = ()
    ) -> Dataset:
        """Return the images at `places`, or all, as a set."""

    @abstractmethod
    def _reading(self, data: Dataset) -> tuple[Dataset, Callable, bool]:
        """Return what a loader reads, its collation, and whether worker processes would idle."""

    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit", "validate") and self.train_set is None:
            train, val = self._found(self.load_train()), self.load_val()
            places = (None, None)
            if val is None:
                places = split_indices(
                    len(train.labels), self.val_size, self.split_seed, groups=train.groups
                )
            self.val_set = self._set(train if val is None else self._found(val), places[1])
            self.train_set = self._set(train, places[0], self.augment)
        if stage in (None, "test") and self.test_set is None:
            self.test_set = self._set(self._found(self.load_test()))

    def train_dataloader(self) -> DataLoader:
        data, seed = self._reading(self.train_set)[0], self.shuffle_seed
        if seed is None:
            return self._loader(self.train_set, shuffle=True)
        # Lightning knows how many processes train together; None means one.
        shared = getattr(self.trainer, "distributed_sampler_kwargs", None) or {}
        sampler = EpochSampler(data, seed, seeded=isinstance(data, SeededSet), **shared)
        # In a resumed training Lightning starts the loader's workers, which ask for the first
        # batches, before it says which epoch begins.
        sampler.set_epoch(getattr(self.trainer, "current_epoch", 0))
        # With a generator of its own a loader leaves the global random state alone.
        generator = torch.Generator().manual_seed(seed)
        return self._loader(self.train_set, sampler=sampler, generator=generator)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test_set)

    def _loader(self, data: Dataset, **order: Any) -> DataLoader:
        data, collate, ready = self._reading(data)
        workers = self.num_workers
        if workers is None:
            workers = 0 if ready else min(_WORKERS, _cores())
        return DataLoader(
            data,
            batch_size=self.batch_size,
            collate_fn=collate,
            **order,
            num_workers=workers,
            pin_memory=self.pin_memory,
            persistent_workers=workers > 0,
        )


def _cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
