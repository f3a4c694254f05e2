"""Where the numbers of a chip come from: standard normals, cheap and the same everywhere.

On a CPU, drawing a normal costs more than a small network spends on the weight
that it changes (3 ns on one core), so there are two sources, chosen by the number
of normals in a draw alone:

- *table*, for 2^14 to 2^18 of them: a draw is the sum of two slices, at
  offsets of its own, of two independent tables of 2^19 normals of variance 1/2.
  Every 128 draws have tables of their own, and share their cost.
- *fresh*, for fewer (they cost nothing) and for more (the forward pass costs
  more): blocks of 2^18, each from a generator of its own, so that several threads
  share the work.

Within a draw of the table the numbers are independent standard normals, exactly as
fresh ones are, so an estimate's mean is as unbiased. Two draws of one table can
share numbers, but not at the same weight unless they share an offset: one pair in
2^18, and then with a correlation of 1/2. What draws of one table have in common is
how its moments differ from those of the normal distribution, about 1 in 1000, which
adds less than 1 % to the variance of their mean; with every new table it averages out.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import torch
from torch import Tensor

SMALLEST_FROM_TABLE = 1 << 14
LARGEST_FROM_TABLE = 1 << 18
TABLE = 1 << 19
TABLE_DRAWS = 128
BLOCK = 1 << 18


def seeded_generator(*words: int | str) -> torch.Generator:
    """Return a fresh CPU generator, a function of `words` alone.

    Hashing makes neighbouring seeds and indices as independent as any others.
    """
    return torch.Generator().manual_seed(_hashed(*words) >> 1)


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
        # The default device may be another one.
        rows = torch.empty(len(indices), count, dtype=torch.float32, device="cpu")
    if SMALLEST_FROM_TABLE <= count <= LARGEST_FROM_TABLE:
        for row, index in zip(rows, indices, strict=True):
            _TABLES.fill(row, seed, index)
        return rows
    blocks = [
        (block, seeded_generator(seed, index, "weights", number))
        for row, index in zip(rows, indices, strict=True)
        for number, block in enumerate(row.split(BLOCK))
    ]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads < 2 or rows.numel() < BLOCK:
        for block, generator in blocks:
            _fill(block, generator)
    else:
        # PyTorch fills one tensor on one core, and lets go of the interpreter meanwhile.
        _fill_in_threads(blocks, threads)
    return rows


def _fill(block: Tensor, generator: torch.Generator, std: float = 1.0) -> None:
    block.normal_(0.0, std, generator=generator)


def _fill_in_threads(
    blocks: Sequence[tuple[Tensor, torch.Generator]], threads: int, std: float = 1.0
) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda each: _fill(*each, std), blocks))


class _Tables:
    """The tables used last, each two rows of `TABLE` normals of variance 1/2: 4 MB.

    A table that makes room leaves its memory to the next: getting new memory from
    the system costs as much as the normals.
    """

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._tables: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self._lock = Lock()

    def fill(self, row: Tensor, seed: int, index: int) -> None:
        """Write the normals of chip `index` to `row`."""
        offsets = TABLE - len(row) + 1
        a = _hashed(seed, index, "first") % offsets
        b = _hashed(seed, index, "second") % offsets
        with self._lock:
            first, second = self._table(seed, index // TABLE_DRAWS)
            torch.add(first[a : a + len(row)], second[b : b + len(row)], out=row)

    def _table(self, seed: int, number: int) -> Tensor:
        table = self._tables.pop((seed, number), None)
        if table is None:
            if len(self._tables) < self._size:
                table = torch.empty(2, TABLE, dtype=torch.float32, device="cpu")
            else:
                _, table = self._tables.popitem(last=False)
            blocks = [
                (block, seeded_generator(seed, number, "table", place))
                for place, block in enumerate(table.view(-1).split(BLOCK))
            ]
            _fill_in_threads(blocks, torch.get_num_threads(), math.sqrt(0.5))
        self._tables[seed, number] = table
        return table


_TABLES = _Tables()


def _hashed(*words: int | str) -> int:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
