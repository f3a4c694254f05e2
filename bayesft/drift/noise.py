"""Where the numbers of a chip come from: the same everywhere, each from its place alone.

A place's number is a hash of the chip and the place. So no number depends on another's
having been made, on the number of threads or on the device: a GPU makes its own. It is a
code, of 16 bits and seldom more, that stands for a standard normal (see `quantiles`). On
one core a drifted weight takes under 1 ns by a kernel (see `kernels`); by PyTorch's operations
1.5 for its code and .7 for looking up what drift makes of it, where PyTorch's own normals
take 3 and the arithmetic another.

Reading slices of a stored table of normals at random offsets would take less than
either, but the draws then have in common what the table has: where a score depends on sums
over many weights, its mean was off by several times the stated error. Codes have nothing in
common: each number by itself is looked up.

D    number of chips
n    number of places
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bayesft.drift import kernels
from bayesft.drift.quantiles import BINS, OUTER, look_up, quantiles
from bayesft.drift.words import BITS, hash_of, keys_of, words, words_at

# Places that are worked on at once: few calls for a small network, whose time they are, and
# what is in between is near a CPU.
BLOCK = 1 << 20
# On a GPU for which there is no kernel.
_GPU_BLOCK = 1 << 22
# Of them each word makes four codes.
CODE_BITS = 16
LANES = BITS // CODE_BITS


def seeded_generator(*names: int | str) -> torch.Generator:
    """Return a fresh CPU generator, a function of `names` alone.

    Neighbouring seeds and indices are as independent as any others.
    """
    return torch.Generator().manual_seed(int.from_bytes(hash_of(*names)[:8], "big") >> 1)


def standard_normals(seed: int, indices: Sequence[int], count: int) -> Tensor:
    """Return the normals of several chips, one row for each.

    A number is a function of `seed`, its row's index and its place in the row alone.

    Args:
        seed: names the family of chips.
        indices: of the chips, D of them.
        count: n, normals in each.

    Returns:
        float32, shape `(D, n)`, on the CPU.
    """
    with torch.inference_mode(False), torch.no_grad():
        codes = torch.empty(len(indices), count, dtype=torch.int32, device="cpu")
        fill_codes(codes, [(seed, index) for index in indices])
        normals = torch.empty(codes.shape, dtype=torch.float32, device="cpu")
        look_up(quantiles(codes.device), codes, normals)
    return normals


def chip_keys(chips: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Return the keys of several chips' words, of first and finer codes: int64, `(D, 4)`.

    Args:
        chips: seed and index of each, D of them, at least one.
        device: where to have them.
    """
    return keys_of([_hash_of_chip(*chip) for chip in chips], device)


# A chip is asked for at every sigma, and a hash takes as long as many weights.
@lru_cache(maxsize=1 << 12)
def _hash_of_chip(seed: int, index: int) -> bytes:
    return hash_of(seed, index, "weights")


def fill_codes(codes: Tensor, chips: Sequence[tuple[int, int]], *, start: int = 0) -> None:
    """Write the codes of several chips, from their place `start` on.

    Args:
        codes: int32, shape `(D, n)`, on any device.
        chips: seed and index of each, D of them.
        start: a multiple of 4.
    """
    if not chips:
        return
    keys = chip_keys(chips, codes.device)
    if kernels.fill(codes, keys, start):
        return
    on_cpu = codes.device.type == "cpu"
    refine, size = (_refine_few, BLOCK) if on_cpu else (_refine, _GPU_BLOCK)
    rows = max(1, size // max(1, codes.shape[1]))
    for block, chosen in zip(codes.split(rows), keys.split(rows), strict=True):
        for number, part in enumerate(block.split(size, dim=1)):
            first = start + number * size
            part.copy_(_sixteen_bits(chosen[:, :2], first, part.shape[1])).bitwise_and_(BINS - 1)
            refine(part, chosen[:, 2:], first)


def _sixteen_bits(keys: Tensor, first: int, count: int) -> Tensor:
    """Return int16, shape `(D, count)`, of the places from `first` on."""
    found = words(keys, first // LANES, -(-count // LANES))
    return found.view(torch.int16)[:, :count]


def _refine(codes: Tensor, keys: Tensor, first: int) -> None:
    """Replace codes of outer pieces by those of finer ones. Waits for no device."""
    finer = _sixteen_bits(keys, first, codes.shape[1]).int().bitwise_and_(BINS - 1).add_(BINS)
    codes.copy_(torch.where(codes < OUTER, finer, codes))


def _refine_few(codes: Tensor, keys: Tensor, first: int) -> None:
    """Do the same, but make the finer codes only where they are wanted. On the CPU."""
    found = np.flatnonzero(codes.numpy().reshape(-1) < OUTER)
    row, place = np.divmod(found, codes.shape[1])
    word, lane = np.divmod(first + place, LANES)
    finer = words_at(keys.numpy()[row], word) >> (CODE_BITS * lane).astype(np.uint64)
    codes.numpy()[row, place] = BINS + (finer & np.uint64(BINS - 1)).astype(np.int32)
