"""Dividing draws over the processes of a distributed training."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from bayesft.errors import SettingError


def check_shared(distributed: bool) -> None:
    """Raise `SettingError` if there are to be other processes and there are none."""
    if distributed and not (dist.is_available() and dist.is_initialized()):
        raise SettingError(
            "`distributed=True` divides the draws over the processes of torch.distributed, but it "
            "is not initialised. Call torch.distributed.init_process_group first, or leave it."
        )


def processes(*, distributed: bool) -> int:
    """Return over how many processes work is divided."""
    return dist.get_world_size() if distributed else 1


def share(first: int, *, distributed: bool) -> slice:
    """Return which pieces of work this process does of those from `first` on: all, or every n-th.

    Args:
        first: how many pieces there are before them.
        distributed: whether there are other processes.
    """
    if not distributed:
        return slice(None)
    size = dist.get_world_size()
    return slice((dist.get_rank() - first) % size, None, size)


def gathered(rows: Tensor, lengths: Sequence[int], *, distributed: bool) -> Tensor:
    """Return the rows of every piece of work, in order, the same in every process.

    Args:
        rows: the rows of this process's pieces, one after the other, `(n, width)`.
        lengths: how many rows each piece has, all processes' pieces together.
        distributed: whether there are other processes.
    """
    if not distributed:
        return rows
    size = dist.get_world_size()
    totals = [sum(lengths[rank::size]) for rank in range(size)]
    padded = torch.zeros(max(totals), rows.shape[1], dtype=rows.dtype, device=rows.device)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(size)]
    dist.all_gather(parts, padded)
    pieces: list[Tensor] = [padded] * len(lengths)
    for rank, (part, total) in enumerate(zip(parts, totals, strict=True)):
        pieces[rank::size] = part[:total].split(list(lengths[rank::size]))
    return torch.cat(pieces)


def agreed(value: float, *, device: torch.device, distributed: bool) -> float:
    """Return the mean of the processes' values: one that all of them go on with."""
    if not distributed:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()
