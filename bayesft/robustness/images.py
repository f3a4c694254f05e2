"""Which images each draw is scored on."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from bayesft.drift import seeded_generator
from bayesft.errors import SettingError


def draw_indices(draw: int, *, images: int, total: int, seed: int) -> list[int]:
    """Return the images of one draw: a function of (seed, draw) alone.

    Draw k takes places k·n to (k+1)·n of an endless row of shuffled copies of the
    set, so that images are fresh until the whole set was used, and every image is
    used equally often.

    Args:
        draw: the draw's number.
        images: n, how many images a draw is scored on.
        total: the size of the set.
        seed: of the shuffling.
    """
    indices: list[int] = []
    position = draw * images
    while len(indices) < images:
        copy, start = divmod(position, total)
        order = torch.randperm(total, generator=seeded_generator(seed, copy, "images"))
        taken = order[start : start + images - len(indices)].tolist()
        indices.extend(taken)
        position += len(taken)
    return indices


def draw_batches(
    batches: DataLoader | Dataset | Iterable[Any], *, draws: int, images: int, seed: int
) -> Iterator[Any]:
    """Yield one batch of `images` fresh images for each draw.

    Args:
        batches: a DataLoader (its data set, collation and workers are used, its
            order is not), a map-style data set, or any iterable of batches, which
            is held in memory.
        draws: how many batches to give.
        images: images per batch; a smaller set is used whole each time.
        seed: of the choice.

    Raises:
        SettingError: there are no images, or the data set has no length.
    """
    loader = _indexable(batches)
    total = len(loader.dataset)
    if total == 0:
        raise SettingError("`evaluate` was given no images. Check the data set's split sizes.")
    images = min(images, total)
    order = [draw_indices(k, images=images, total=total, seed=seed) for k in range(draws)]
    # A generator of its own, because a DataLoader otherwise draws its workers'
    # seed from the global one.
    yield from DataLoader(
        loader.dataset,
        batch_sampler=order,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        generator=seeded_generator(seed, "loader"),
    )


class _Batches(Dataset):
    """Batches held in memory, addressed image by image."""

    def __init__(self, batches: list[Any]) -> None:
        sizes = [batch_length(batch) for batch in batches]
        self.places = [(b, i) for b, size in enumerate(sizes) for i in range(size)]
        self.batches = batches

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        batch, place = self.places[index]
        return _map(self.batches[batch], lambda tensor: tensor[place])


def _indexable(batches: DataLoader | Dataset | Iterable[Any]) -> DataLoader:
    if isinstance(batches, DataLoader):
        # Without a batch sampler the loader's items are batches already.
        by_index = not isinstance(batches.dataset, IterableDataset)
        if by_index and batches.batch_sampler is not None:
            return batches
    elif isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        return DataLoader(batches)
    return DataLoader(_Batches(list(batches)), collate_fn=default_collate, batch_size=1)


def batch_length(batch: Any) -> int:
    """Return how many images `batch` holds: the length of its first tensor."""
    tensor = next(_tensors(batch), None)
    if tensor is None or tensor.ndim == 0:
        raise SettingError(
            f"`evaluate` expects batches of tensors, but got a {type(batch).__name__}. "
            "Give it a DataLoader over a map-style data set instead."
        )
    return len(tensor)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
            yield from _tensors(value)


def _map(batch: Any, function: Any) -> Any:
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: _map(value, function) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_map(value, function) for value in batch)
    return batch


def to_device(batch: Any, device: torch.device) -> Any:
    """Return `batch` with every tensor in it on `device`."""
    return _map(batch, lambda tensor: tensor.to(device, non_blocking=True))
