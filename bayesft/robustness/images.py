"""Which images each draw is scored on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from bayesft.drift import seeded_generator
from bayesft.errors import SettingError

_BATCHES_AT_ONCE = 4
_CONTAINERS = (Tensor, Mapping, tuple, list)


def draw_indices(
    draw: int, *, images: int, total: int, seed: int, stream: str = "images"
) -> Tensor:
    """Return the images of one draw, int64, shape `(images,)`: a function of the arguments alone.

    Draw k takes places k·n to (k+1)·n of an endless row of shuffled copies of the
    set, so that images are fresh until the whole set was used, and every image is
    used equally often.

    Args:
        draw: the draw's number.
        images: n, how many images a draw is scored on.
        total: the size of the set.
        seed: of the shuffling.
        stream: names the row; two rows of one seed are independent.
    """
    parts, position, end = [], draw * images, (draw + 1) * images
    while position < end:
        copy, start = divmod(position, total)
        part = _shuffled(total, seed, stream, copy)[start : start + end - position]
        parts.append(part)
        position += len(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


# Enough for the folds of an evaluation and its pilot.
@lru_cache(maxsize=16)
def _shuffled(total: int, seed: int, stream: str, copy: int) -> Tensor:
    return torch.randperm(total, generator=seeded_generator(seed, copy, stream), device="cpu")


class ImagePool:
    """A set of images that batches can be taken from by index.

    Args:
        batches: a DataLoader (the images that its sampler may choose, its collation
            and its workers are used, its order is not), a map-style data set, or any
            iterable of batches, which is held in memory.

    Raises:
        SettingError: there are no images, batches without tensors, or a sampler that
            does not tell which images it chooses.
    """

    def __init__(self, batches: DataLoader | Dataset | Iterable[Any]) -> None:
        self._loader = _indexable(batches)
        self._images = _chosen(self._loader)
        self.total = len(self._images)
        if self.total == 0:
            raise SettingError("`evaluate` was given no images. Check the data set's split sizes.")

    def batches(self, indices: Sequence[Tensor], *, seed: int = 0) -> Iterator[Any]:
        """Yield one batch for each row of indices; the seed is of the loader's workers."""
        loader = self._loader
        if type(self._images) is TensorDataset and loader.collate_fn is default_collate:
            yield from self._rows_of_tensors(indices)
        elif loader.num_workers == 0:
            yield from map(self._batch, indices)
        else:
            # A generator of its own, because a DataLoader otherwise draws its workers'
            # seed from the global one.
            yield from DataLoader(
                self._images,
                batch_sampler=[each.tolist() for each in indices],
                collate_fn=loader.collate_fn,
                num_workers=loader.num_workers,
                worker_init_fn=loader.worker_init_fn,
                multiprocessing_context=loader.multiprocessing_context,
                prefetch_factor=loader.prefetch_factor,
                timeout=loader.timeout,
                generator=seeded_generator(seed, "loader"),
            )

    def _rows_of_tensors(self, indices: Sequence[Tensor]) -> Iterator[Any]:
        """Take many batches by one indexing.

        Taking and collating the images one by one would cost more than a small
        network's forward pass.
        """
        for start in range(0, len(indices), _BATCHES_AT_ONCE):
            some = indices[start : start + _BATCHES_AT_ONCE]
            sizes, places = [len(each) for each in some], torch.cat(list(some))
            parts = [
                tensor.index_select(0, places.to(tensor.device)).split(sizes)
                for tensor in self._images.tensors
            ]
            yield from map(list, zip(*parts, strict=True))

    def _batch(self, indices: Tensor) -> Any:
        images, collate = self._images, self._loader.collate_fn
        if hasattr(images, "__getitems__"):
            return collate(images.__getitems__(indices.tolist()))
        return collate([images[index] for index in indices.tolist()])


class _Batches(Dataset):
    """Batches held in memory, addressed image by image."""

    def __init__(self, batches: list[Any]) -> None:
        sizes = [batch_length(batch) for batch in batches]
        self.places = [(b, i) for b, size in enumerate(sizes) for i in range(size)]
        self.batches = batches
        self.listed = any(map(_is_listed, batches))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        number, place = self.places[index]
        batch = self.batches[number]
        if self.listed:
            return tuple(part[place] for part in batch)
        return _element(batch, place, batch_length(batch))

    def collate(self, images: Sequence[Any]) -> Any:
        if self.listed:
            return tuple(map(list, zip(*images, strict=True)))
        return default_collate(images)


def _element(batch: Any, place: int, size: int) -> Any:
    """Return what `batch`, of `size` images, holds of one image."""
    if isinstance(batch, Tensor):
        return batch[place]
    if isinstance(batch, Mapping):
        return {key: _element(value, place, size) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        # A list of names, say, has one for each image.
        if len(batch) == size and not any(isinstance(each, _CONTAINERS) for each in batch):
            return batch[place]
        return _like(batch, [_element(value, place, size) for value in batch])
    return batch


def _indexable(batches: DataLoader | Dataset | Iterable[Any]) -> DataLoader:
    if isinstance(batches, DataLoader):
        # Without a batch sampler the loader's items are batches already.
        by_index = not isinstance(batches.dataset, IterableDataset)
        if by_index and batches.batch_sampler is not None:
            return batches
    elif isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        return DataLoader(batches)
    held = _Batches(list(batches))
    return DataLoader(held, collate_fn=held.collate, batch_size=1)


def _chosen(loader: DataLoader) -> Dataset:
    """Return the images that the loader's sampler may choose.

    Raises:
        SettingError: the sampler does not tell.
    """
    sampler = loader.sampler
    whole = (SequentialSampler, RandomSampler, DistributedSampler)
    known = type(loader.batch_sampler) is BatchSampler
    if known and isinstance(sampler, SubsetRandomSampler):
        return Subset(loader.dataset, sorted(sampler.indices))
    if known and isinstance(sampler, whole):
        source = getattr(sampler, "data_source", getattr(sampler, "dataset", None))
        if source is loader.dataset:
            return loader.dataset
    name = type(sampler if known else loader.batch_sampler).__name__
    raise SettingError(
        f"The loader's {name} does not tell which images it chooses, and an evaluation chooses "
        "them itself. Give a loader over torch.utils.data.Subset(data, indices), without it."
    )


def batch_length(batch: Any) -> int:
    """Return how many images `batch` holds: the length of its first tensor.

    Of images that are listed one by one, each with a mapping of its own, as detectors take
    them, the length of the list.
    """
    if _is_listed(batch):
        return len(batch[0])
    tensor = next(tensors_of(batch), None)
    if tensor is None or tensor.ndim == 0:
        raise SettingError(
            f"`evaluate` expects batches of tensors, but got a {type(batch).__name__}. "
            "Give it a DataLoader over a map-style data set instead."
        )
    return len(tensor)


def _is_listed(batch: Any) -> bool:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return False
    images, targets = batch
    listed = isinstance(images, (tuple, list)) and isinstance(targets, (tuple, list))
    return listed and bool(targets) and all(isinstance(each, Mapping) for each in targets)


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of `batch`, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors_of(value)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
            yield from tensors_of(value)


def _map(batch: Any, function: Any) -> Any:
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: _map(value, function) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return _like(batch, [_map(value, function) for value in batch])
    return batch


def to_device(batch: Any, device: torch.device) -> Any:
    """Return `batch` with every tensor in it on `device`."""
    return _map(batch, lambda tensor: tensor.to(device, non_blocking=True))


def _like(batch: Any, parts: list[Any]) -> Any:
    """Return `parts` as the kind of tuple or list that `batch` is."""
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def stacked(batches: Sequence[Any]) -> Any:
    """Return batches of one form as one, each tensor with a new first dimension."""
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.stack(list(batches))
    if isinstance(first, Mapping):
        return {key: stacked([batch[key] for batch in batches]) for key in first}
    if isinstance(first, (tuple, list)):
        return _like(first, [stacked(part) for part in zip(*batches, strict=True)])
    return first
