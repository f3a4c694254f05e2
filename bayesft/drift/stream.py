"""The codes of chips where a network is: all of them, or in windows for a large one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bayesft.drift.chip import Chip
from bayesft.drift.noise import BLOCK, LANES, fill_codes

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


def _memory(shape: tuple[int, int], device: torch.device | str) -> Tensor:
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=torch.int32, device=device)


class Reader:
    """A chip's codes, read from the first to the last, and made in windows as they are read.

    Args:
        chip: whose.
        count: how many there are.
        device: where to have them.
        made: all of them, if they were made before.

    Attributes:
        chip: whose.
        position: how many were read or left out.
    """

    def __init__(
        self, chip: Chip, count: int, device: torch.device, *, made: Tensor | None = None
    ) -> None:
        self.chip = chip
        self.position = 0
        self._count = count
        self._device = device
        # New memory for each window would cost a CPU more than the codes.
        self._memory: Tensor | None = None
        self._rest = made

    def pieces(self, count: int) -> Iterator[Tensor]:
        """Yield the next `count` codes in pieces, each as it is until the next one."""
        if self.position + count > self._count:
            raise IndexError(f"{self.position} of {self._count} codes are read, not {count} more.")
        while count:
            if self._rest is None:
                self._rest = self._window()
            piece = self._rest[:count]
            count -= len(piece)
            self.skip(len(piece))
            yield piece

    def read(self, count: int) -> Tensor:
        """Return the next `count` codes in one tensor, as it is until the next call."""
        if self._rest is not None and 0 < count <= len(self._rest):
            [piece] = self.pieces(count)
            return piece
        with torch.inference_mode(False):
            whole = torch.empty(count, dtype=torch.int32, device=self._device)
        filled = 0
        for piece in self.pieces(count):
            whole[filled : filled + len(piece)] = piece
            filled += len(piece)
        return whole

    def skip(self, count: int) -> None:
        """Leave the next `count` codes out: what was not made of them is not made."""
        self.position += count
        if self._rest is not None:
            rest = self._rest[count:]
            self._rest = rest if len(rest) else None

    def _window(self) -> Tensor:
        first = self.position - self.position % LANES
        if self._memory is None:
            made_on = self._device if self._device.type in _MADE_ON else "cpu"
            self._memory = _memory((1, min(WINDOW, self._count)), made_on)
        part = self._memory[:, : self._count - first]
        fill_codes(part, [(self.chip.seed, self.chip.index)], start=first)
        return part[0, self.position - first :].to(self._device)
