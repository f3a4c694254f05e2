"""Where the numbers of a chip come from: standard normals, the same everywhere.

A row of normals is cut into blocks, each from a generator of its own, so that for a
large network several threads share the work, no chip's numbers depend on another's,
and some of a chip's numbers are made without the others. On one core a number takes
3 ns. Reading slices of a stored table at random offsets takes a tenth of that, but the
draws then have in common what the table has: where a score depends on sums over many
weights, its mean was off by several times the stated error.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

BLOCK = 1 << 18
# Below, threads cost more than they save.
SMALLEST_SHARED = 1 << 20


def seeded_generator(*words: int | str) -> torch.Generator:
    """Return a fresh CPU generator, a function of `words` alone.

    Hashing makes neighbouring seeds and indices as independent as any others.
    """
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def standard_normals(
    seed: int, indices: Sequence[int], count: int, *, out: Tensor | None = None
) -> Tensor:
    """Return the normals of several chips, one row for each.

    Row i is a function of `seed`, `indices[i]` and `count` alone: not of the other
    rows, the number of threads, or any random state.

    Args:
        seed: names the family of chips.
        indices: of the chips, D of them.
        count: normals in each.
        out: written and returned if given: float32, contiguous, of the result's shape.

    Returns:
        float32, shape `(D, count)`, on the CPU.
    """
    rows = out
    if rows is None:
        # The threads do not share the caller's mode, and the default device may be another.
        with torch.inference_mode(False):
            rows = torch.empty(len(indices), count, dtype=torch.float32, device="cpu")
    fill_normals(rows, [(seed, index) for index in indices])
    return rows


def fill_normals(rows: Tensor, chips: Sequence[tuple[int, int]], *, start: int = 0) -> None:
    """Write normals of several chips to `rows`, from the chips' number `start` on.

    Args:
        rows: float32, contiguous, shape `(D, n)`, on the CPU, not made in inference
            mode. They end where a block of `BLOCK` or the chip does.
        chips: seed and index of each.
        start: a multiple of `BLOCK`.
    """
    first = start // BLOCK
    blocks = [
        (block, seeded_generator(seed, index, "weights", number))
        for row, (seed, index) in zip(rows, chips, strict=True)
        for number, block in enumerate(row.split(BLOCK), first)
    ]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads < 2 or rows.numel() < SMALLEST_SHARED:
        for each in blocks:
            _fill(each)
    else:
        # PyTorch fills one tensor on one core, and lets go of the interpreter meanwhile.
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(_fill, blocks))


def _fill(block: tuple[Tensor, torch.Generator]) -> None:
    numbers, generator = block
    numbers.normal_(generator=generator)
