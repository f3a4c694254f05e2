"""Batches of whatever form: tensors in tuples, lists and mappings, or images one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bayesft.errors import SettingError

_CONTAINERS = (Tensor, Mapping, tuple, list)


def batch_length(batch: Any) -> int:
    """Return how many images `batch` holds: the length of its first tensor.

    Of images that are listed one by one, each with a mapping of its own, as detectors take
    them, the length of the list.
    """
    if is_listed(batch):
        return len(batch[0])
    tensor = next(tensors_of(batch), None)
    if tensor is None or tensor.ndim == 0:
        raise SettingError(
            f"`evaluate` expects batches of tensors, but got a {type(batch).__name__}. "
            "Give it a DataLoader over a map-style data set instead."
        )
    return len(tensor)


def is_listed(batch: Any) -> bool:
    """Tell whether images and targets are listed one by one, as detectors take them."""
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


def form_of_tensors(batch: Any) -> tuple[tuple[torch.Size, torch.dtype, bool], ...]:
    """Return of each tensor its shape and type, and whether autocast changes what they become."""
    return tuple(
        (tensor.shape, tensor.dtype, torch.is_autocast_enabled(tensor.device.type))
        for tensor in tensors_of(batch)
    )


def mapped(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return `batch` with what `function` makes of every tensor in it."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: mapped(value, function) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return _like(batch, [mapped(value, function) for value in batch])
    return batch


def to_device(batch: Any, device: torch.device) -> Any:
    """Return `batch` with every tensor in it on `device`."""
    # Elsewhere it would be read before it is there, or after it is gone.
    on_gpu = device.type == "cuda"
    return mapped(batch, lambda tensor: tensor.to(device, non_blocking=on_gpu))


def bytes_of(batch: Any) -> int:
    """Return what the tensors of `batch` take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(batch))


class Block(Sequence[list[Tensor]]):
    """Batches of one form that lie in memory as one.

    Args:
        parts: of all batches, each tensor with a first dimension for them.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts = list(parts)

    def __len__(self) -> int:
        return self.parts[0].shape[0]

    def __getitem__(self, place: Any) -> Any:
        found = [part[place] for part in self.parts]
        return Block(found) if isinstance(place, slice) else found


def stacked(batches: Sequence[Any]) -> Any:
    """Return batches of one form as one, each tensor with a new first dimension."""
    if isinstance(batches, Block):
        return batches.parts
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.stack(list(batches))
    if isinstance(first, Mapping):
        return {key: stacked([batch[key] for batch in batches]) for key in first}
    if isinstance(first, (tuple, list)):
        return _like(first, [stacked(part) for part in zip(*batches, strict=True)])
    return first


def element(batch: Any, place: int, size: int) -> Any:
    """Return what `batch`, of `size` images, holds of one image."""
    if isinstance(batch, Tensor):
        return batch[place]
    if isinstance(batch, Mapping):
        return {key: element(value, place, size) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        # A list of names, say, has one for each image.
        if len(batch) == size and not any(isinstance(each, _CONTAINERS) for each in batch):
            return batch[place]
        return _like(batch, [element(value, place, size) for value in batch])
    return batch


def _like(batch: Any, parts: list[Any]) -> Any:
    """Return `parts` as the kind of tuple or list that `batch` is."""
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def form_of(value: Any) -> str:
    """Return what a message calls a value: a tensor by its shape, all else by its type."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    length = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"{article} {name}{length}"
