"""Which images each draw is scored on."""

from collections.abc import Iterable, Iterator, Sequence
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
from torch.utils.data._utils.pin_memory import pin_memory

from bayesft.drift import seeded_generator
from bayesft.drift.pinned import sent
from bayesft.errors import SettingError
from bayesft.robustness.batches import (
    Block,
    batch_length,
    bytes_of,
    element,
    form_of,
    is_listed,
    tensors_of,
)

# Batches that are taken by one indexing: on a CPU what stays in its cache; a GPU is kept
# busy by few calls.
_BATCHES_AT_ONCE = 4
_GPU_BATCHES_AT_ONCE = 64
_GPU_BYTES_AT_ONCE = 1 << 26
# Of the memory that is free on a GPU, what a set of images may take.
_GPU_SHARE = 0.25


def draw_indices(
    draws: range, *, images: int, total: int, seed: int, stream: str = "images"
) -> Tensor:
    """Return the images of draws, each a function of its number and the other arguments alone.

    Draw k takes places k·n to (k+1)·n of an endless row of shuffled copies of the
    set, so that images are fresh until the whole set was used, and every image is
    used equally often.

    Args:
        draws: the numbers of D draws, one after the other.
        images: n, how many images a draw is scored on.
        total: the size of the set.
        seed: of the shuffling.
        stream: names the row; two rows of one seed are independent.

    Returns:
        int64, shape `(D, n)`.
    """
    parts, position, end = [], draws.start * images, draws.stop * images
    while position < end:
        copy, start = divmod(position, total)
        part = _shuffled(total, seed, stream, copy)[start : start + end - position]
        parts.append(part)
        position += part.shape[0]
    return torch.cat(parts).view(len(draws), images)


# Enough for the folds of an evaluation and its pilot.
@lru_cache(maxsize=16)
def _shuffled(total: int, seed: int, stream: str, copy: int) -> Tensor:
    return torch.randperm(total, generator=seeded_generator(seed, copy, stream), device="cpu")


class ImagePool:
    """A set of images that batches can be taken from by index.

    Args:
        batches: a DataLoader (the images that its sampler may choose, its collation,
            its workers and its `pin_memory` are used, its order is not), a map-style data
            set, or any iterable of batches, which is held in memory.
        device: where batches are going. To a GPU they go from pinned memory, if the loader
            pins, and from a set of tensors if `resident`.
        resident: whether they may already be on the device; a set of tensors is copied to
            a GPU that has ample room for it, once as many images were asked for as it has.

    Raises:
        SettingError: there are no images, batches without tensors, or a sampler that
            does not tell which images it chooses.
    """

    def __init__(
        self,
        batches: DataLoader | Dataset | Iterable[Any],
        *,
        device: torch.device | None = None,
        resident: bool = False,
    ) -> None:
        self._loader = _indexable(batches)
        self._images = _chosen(self._loader)
        self._device = device
        on_gpu = device is not None and device.type == "cuda"
        self._pinned = on_gpu and self._loader.pin_memory
        # Rows of a set of tensors go there without hooks in between.
        self._direct = on_gpu and resident
        self.total = len(self._images)
        if self.total == 0:
            raise SettingError("`evaluate` was given no images. Check the data set's split sizes.")
        self._asked = 0
        self._tensors: tuple[Tensor, ...] | None = None
        if type(self._images) is TensorDataset and self._loader.collate_fn is default_collate:
            self._tensors = self._images.tensors
        there = self._tensors is not None and all(each.device == device for each in self._tensors)
        self._resident = self._direct and not there

    def batches(self, indices: Iterable[Tensor], *, seed: int = 0) -> Iterator[Any]:
        """Yield one batch for each row of indices; the seed is of the loader's workers."""
        loader, indices = self._loader, list(indices)
        if self._tensors is not None:
            self._asked += sum(each.shape[0] for each in indices)
            if self._resident and self._asked >= self.total:
                self._tensors, self._resident = _moved(self._tensors, self._device), False
            yield from self._rows_of_tensors(self._tensors, indices)
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
                pin_memory=self._pinned,
                worker_init_fn=loader.worker_init_fn,
                multiprocessing_context=loader.multiprocessing_context,
                prefetch_factor=loader.prefetch_factor,
                timeout=loader.timeout,
                generator=seeded_generator(seed, "loader"),
            )

    @property
    def at_once(self) -> bool:
        """Whether there is a `block`: of a set of tensors that is on a GPU."""
        return self._tensors is not None and self._tensors[0].device.type == "cuda"

    def block(self, indices: Tensor) -> Block:
        """Return batches for the rows of indices, on the device.

        One by one they would take a GPU longer than a small network's forward pass.
        """
        places = indices.flatten()
        parts = [self._rows(tensor, places).unflatten(0, indices.shape) for tensor in self._tensors]
        return Block([part.to(self._device) for part in parts])

    def _rows_of_tensors(
        self, tensors: Sequence[Tensor], indices: Sequence[Tensor]
    ) -> Iterator[Any]:
        """Take many batches by one indexing.

        Taking and collating the images one by one would cost more than a small
        network's forward pass.
        """
        step = _BATCHES_AT_ONCE
        if tensors[0].device.type != "cpu" and len(indices):
            batch = max(each.shape[0] for each in indices) * bytes_of(tensors) // self.total
            step = max(1, min(_GPU_BATCHES_AT_ONCE, _GPU_BYTES_AT_ONCE // max(1, batch)))
        for start in range(0, len(indices), step):
            some = indices[start : start + step]
            sizes, places = [each.shape[0] for each in some], torch.cat(list(some))
            parts = [self._rows(tensor, places).split(sizes) for tensor in tensors]
            yield from map(list, zip(*parts, strict=True))

    def _rows(self, tensor: Tensor, places: Tensor) -> Tensor:
        if tensor.device.type != "cpu":
            return tensor.index_select(0, sent(places, tensor.device))
        if not (self._pinned or self._direct):
            return tensor.index_select(0, places)
        # A copy to a GPU waits for it unless it is from memory that is pinned.
        rows = tensor.new_empty(len(places), *tensor.shape[1:], pin_memory=True)
        return torch.index_select(tensor, 0, places, out=rows)

    def _batch(self, indices: Tensor) -> Any:
        images, collate = self._images, self._loader.collate_fn
        if hasattr(images, "__getitems__"):
            batch = collate(images.__getitems__(indices.tolist()))
        else:
            batch = collate([images[index] for index in indices.tolist()])
        return pin_memory(batch) if self._pinned else batch


def _moved(tensors: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Return `tensors` on a GPU, if it has ample room for them."""
    if bytes_of(tensors) > _GPU_SHARE * torch.cuda.mem_get_info(device)[0]:
        return tensors
    return tuple(tensor.to(device, non_blocking=True) for tensor in tensors)


def _length_of_all(batch: Any) -> int:
    """Return how many images `batch` holds; raise `SettingError` if its parts disagree."""
    length = batch_length(batch)
    if is_listed(batch):
        return length
    odd: list[Any] = [tensor for tensor in tensors_of(batch) if tensor.shape[:1] != (length,)]
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], int):
        odd.append(batch[1])
    if odd:
        raise SettingError(
            "`evaluate` takes batches apart by image, so that each tensor has a row for each, but "
            f"got one of {length} images with {form_of(odd[0])}. Of single samples give "
            "DataLoader(samples, batch_size=100)."
        )
    return length


class _Batches(Dataset):
    """Batches held in memory, addressed image by image."""

    def __init__(self, batches: list[Any]) -> None:
        sizes = [_length_of_all(batch) for batch in batches]
        self.places = [(b, i) for b, size in enumerate(sizes) for i in range(size)]
        self.batches = batches
        self.listed = any(map(is_listed, batches))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        number, place = self.places[index]
        batch = self.batches[number]
        if self.listed:
            return tuple(part[place] for part in batch)
        return element(batch, place, batch_length(batch))

    def collate(self, images: Sequence[Any]) -> Any:
        if self.listed:
            return tuple(map(list, zip(*images, strict=True)))
        return default_collate(images)


def _indexable(batches: DataLoader | Dataset | Iterable[Any]) -> DataLoader:
    if isinstance(batches, DataLoader):
        # Without a batch sampler the loader's items are batches already.
        by_index = not isinstance(batches.dataset, IterableDataset)
        if by_index and batches.batch_sampler is not None:
            return batches
    elif isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        return DataLoader(batches)
    if _is_a_pair(batches):
        raise SettingError(
            "`evaluate` expects batches, but got a pair of tensors, which is one: give "
            "[(images, labels)]."
        )
    if not isinstance(batches, Iterable):
        raise SettingError(
            "Expected `batches` to be a DataLoader, a data set, or a list of batches such as "
            f"[(images, labels)], but got {form_of(batches)}."
        )
    held = _Batches(list(batches))
    return DataLoader(held, collate_fn=held.collate, batch_size=1)


def _is_a_pair(batches: Iterable[Any]) -> bool:
    """Tell whether these are images and labels, and not two batches of images."""
    if not isinstance(batches, (tuple, list)) or len(batches) != 2:
        return False
    images, labels = batches
    tensors = isinstance(images, Tensor) and isinstance(labels, Tensor)
    return tensors and images.shape[1:] != labels.shape[1:] and len(images) == len(labels)


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
