"""The normals of chips where a network is: all of them, or in windows for a large one."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from bayesft.drift.chip import Chip
from bayesft.drift.noise import BLOCK, fill_normals

# Normals of a window, 16 MiB: enough blocks for the threads of a large machine.
WINDOW = 16 * BLOCK


def all_normals(
    chips: Sequence[Chip], count: int, device: torch.device, *, memory: Tensor | None = None
) -> Tensor:
    """Return the normals of D chips, float32, shape `(D, count)`, on `device`.

    Args:
        chips: D of them.
        count: normals of each.
        device: where to have them; they are made on the CPU.
        memory: what an earlier call returned, written again where it fits: on a CPU
            new memory each time would cost more than the normals.
    """
    shape = (len(chips), count)
    if device.type != "cpu" or memory is None or memory.shape != shape:
        memory = _host_memory(shape, device)
    fill_normals(memory, [(chip.seed, chip.index) for chip in chips])
    return memory.to(device, non_blocking=True)


def windows(chip: Chip, count: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the normals of a chip in windows, made one by one, the last one shorter.

    Args:
        chip: whose.
        count: how many there are in all.
        device: where to have them; a window there is as it is until the next one.
    """
    memory = None
    for start in range(0, count, WINDOW):
        # The copy to a GPU may be under way when its memory is wanted again: PyTorch
        # hands that out when it is free.
        if memory is None or device.type != "cpu":
            memory = _host_memory((1, min(WINDOW, count)), device)
        part = memory[:, : count - start]
        fill_normals(part, [(chip.seed, chip.index)], start=start)
        yield part[0].to(device, non_blocking=True)


def _host_memory(shape: tuple[int, int], device: torch.device) -> Tensor:
    # Threads that fill it do not share the caller's mode. In page-locked memory, a copy
    # to a GPU waits for nothing.
    with torch.inference_mode(False):
        return torch.empty(
            shape, dtype=torch.float32, device="cpu", pin_memory=device.type == "cuda"
        )


class Reader:
    """Normals read from the first to the last, whatever windows they come in.

    Args:
        windows: 1-d, at least one; each may be overwritten when the next is taken.
    """

    def __init__(self, windows: Iterable[Tensor]) -> None:
        self._windows = iter(windows)
        self._rest = next(self._windows)

    def pieces(self, count: int) -> Iterator[Tensor]:
        """Yield the next `count` normals in pieces, each as it is until the next one."""
        while count:
            if len(self._rest) == 0:
                self._rest = next(self._windows)
            piece = self._take(min(count, len(self._rest)))
            count -= len(piece)
            yield piece

    def read(self, count: int) -> Tensor:
        """Return the next `count` normals in one tensor, as it is until the next call."""
        if count <= len(self._rest):
            return self._take(count)
        whole, filled = self._rest.new_empty(count), 0
        for piece in self.pieces(count):
            whole[filled : filled + len(piece)] = piece
            filled += len(piece)
        return whole

    def _take(self, count: int) -> Tensor:
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece
