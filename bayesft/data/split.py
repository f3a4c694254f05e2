"""Which of the training images are set aside."""

import torch
from torch import Tensor

from bayesft.errors import SettingError


def split_indices(
    total: int,
    size: int | float,
    seed: int,
    *,
    groups: Tensor | None = None,
    name: str = "val_size",
) -> tuple[Tensor, Tensor]:
    """Return disjoint (kept, set aside) indices of a seeded shuffle of `range(total)`.

    Args:
        total: how many images there are.
        size: how many are set aside: an integer, or a part of them between 0 and 1, of
            which at least one image comes.
        seed: of the shuffle.
        groups: int64, shape `(total,)`; images of one group, such as frames of one film,
            stay together. Whole groups are set aside until there are `size` images or more.
        name: of the setting that `size` is.

    Raises:
        SettingError: nothing would be left.
    """
    count = size if isinstance(size, int) else max(1, round(size * total))
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    if groups is not None and 0 < count < total:
        order, count = _by_group(order, groups, count)
    if count >= total:
        raise SettingError(
            f"Expected `data.{name}` to be smaller than the {total} training images, "
            f"but got {size}."
        )
    return order[count:], order[:count]


def _by_group(order: Tensor, groups: Tensor, count: int) -> tuple[Tensor, int]:
    """Return `order` with each group in one piece, and where a group ends at `count` or beyond."""
    _, numbers = groups.unique(return_inverse=True)
    # A group stands where its first image stood.
    first = torch.full((int(numbers.max()) + 1,), len(order))
    first.scatter_reduce_(0, numbers[order], torch.arange(len(order)), "amin")
    rank = first[numbers[order]]
    order = order[rank.argsort(stable=True)]
    ends = rank.sort().values.unique_consecutive(return_counts=True)[1].cumsum(0)
    return order, int(ends[ends >= count][0])
