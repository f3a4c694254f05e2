"""The codes of chips where a network is: all of them, or in windows for a large one."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from bayesft.drift.chip import Chip
from bayesft.drift.noise import BLOCK, fill_codes

# Codes of a window, 16 MiB: enough for the threads of a large machine.
WINDOW = 4 * BLOCK
# The integers that codes are made with are not to be had everywhere.
_MADE_ON = ("cpu", "cuda")


def all_codes(
    chips: Sequence[Chip], count: int, device: torch.device, *, memory: Tensor | None = None
) -> Tensor:
    """Return the codes of D chips, int32, shape `(D, count)`, on `device`.

    Args:
        chips: D of them.
        count: codes of each.
        device: where to have them.
        memory: what an earlier call returned, written again where it fits: new memory
            each time would cost a CPU more than the codes.
    """
    shape = (len(chips), count)
    if device.type not in _MADE_ON:
        return all_codes(chips, count, torch.device("cpu")).to(device)
    if memory is None or memory.shape != shape:
        memory = _memory(shape, device)
    fill_codes(memory, [(chip.seed, chip.index) for chip in chips])
    return memory


def windows(chip: Chip, count: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the codes of a chip in windows, made one by one, the last one shorter.

    Args:
        chip: whose.
        count: how many there are in all.
        device: where to have them; a window is as it is until the next one.
    """
    memory = _memory((1, min(WINDOW, count)), device if device.type in _MADE_ON else "cpu")
    for start in range(0, count, WINDOW):
        part = memory[:, : count - start]
        fill_codes(part, [(chip.seed, chip.index)], start=start)
        yield part[0].to(device)


def _memory(shape: tuple[int, int], device: torch.device | str) -> Tensor:
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=torch.int32, device=device)


class Reader:
    """Codes read from the first to the last, whatever windows they come in.

    Args:
        windows: 1-d, at least one; each may be overwritten when the next is taken.
    """

    def __init__(self, windows: Iterable[Tensor]) -> None:
        self._windows = iter(windows)
        self._rest = next(self._windows)

    def pieces(self, count: int) -> Iterator[Tensor]:
        """Yield the next `count` codes in pieces, each as it is until the next one."""
        while count:
            if len(self._rest) == 0:
                self._rest = next(self._windows)
            piece = self._take(min(count, len(self._rest)))
            count -= len(piece)
            yield piece

    def read(self, count: int) -> Tensor:
        """Return the next `count` codes in one tensor, as it is until the next call."""
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
