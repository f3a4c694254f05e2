"""What factors make of weights, in one go over a GPU's memory, by Triton.

Codes that are written, read again, looked up and multiplied in calls of their own take a
GPU four times as long.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from bayesft.drift.pinned import sent
from bayesft.drift.quantiles import BINS, OUTER
from bayesft.drift.words import LAST, ROUNDS, STEP

# Words that are worked on at once, each of four places.
_WORDS = 256

# What a kernel knows of the world beside it is what it is given, or a constant.
_STEP, _LAST = tl.constexpr(STEP), tl.constexpr(LAST)
_SHIFT, _FACTOR = map(tl.constexpr, ROUNDS[0])
_NEXT_SHIFT, _NEXT_FACTOR = map(tl.constexpr, ROUNDS[1])
_BINS, _OUTER = tl.constexpr(BINS), tl.constexpr(OUTER)


def multiply(
    out: Tensor,
    weight: Tensor,
    factors: Sequence[Tensor],
    keys: Tensor,
    runs: Sequence[int],
    start: int,
) -> None:
    """Write a weight times the factor of its code, of several runs of draws.

    Args: see `kernels.multiply`.
    """
    draws, count = out.shape
    if not out.numel():
        return
    tables = factors[0] if len(factors) == 1 else torch.stack(list(factors))
    # The table of each draw; nobody reads it where there is one.
    which = keys
    if len(factors) > 1:
        numbers = torch.arange(len(runs), dtype=torch.int64, device="cpu")
        lengths = torch.tensor(list(runs), device="cpu")
        which = sent(numbers.repeat_interleave(lengths), out.device)
    first = start // 4
    blocks = triton.cdiv(-(-(start + count) // 4) - first, _WORDS)
    with torch.cuda.device_of(out):
        _multiply[(draws * blocks,)](
            out, weight, tables, which, keys,
            count, out.stride(0), start, blocks,
            several=len(factors) > 1, size=_WORDS, enable_fp_fusion=False,
        )  # fmt: skip


@triton.jit
def _multiply(
    out, weight, tables, which, keys,
    count, stride, start, blocks,
    several: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0).to(tl.int64)
    row, block = number // blocks, number % blocks
    words = start // 4 + block * size + tl.arange(0, size)
    own = keys + 4 * row
    first = _lanes(_word(words, own))
    finer = _lanes(_word(words, own + 2)) + _BINS
    code = tl.where(first < _OUTER, finer, first)
    if several:
        tables += tl.load(which + row) * (2 * _BINS)
    place = 4 * words[:, None] + tl.arange(0, 4)[None, :] - start
    there = (place >= 0) & (place < count)
    factor = tl.load(tables + code, mask=there)
    tl.store(out + row * stride + place, tl.load(weight + place, mask=there) * factor, mask=there)


@triton.jit
def _word(places, keys):
    """Return the hash of `words`."""
    first = tl.load(keys).to(tl.uint64, bitcast=True)
    second = tl.load(keys + 1).to(tl.uint64, bitcast=True)
    number = places.to(tl.uint64) * tl.full((), _STEP, tl.uint64) + first
    number = (number ^ (number >> _SHIFT)) * tl.full((), _FACTOR, tl.uint64) ^ second
    number = (number ^ (number >> _NEXT_SHIFT)) * tl.full((), _NEXT_FACTOR, tl.uint64)
    return number ^ (number >> _LAST)


@triton.jit
def _lanes(words):
    """Return what each word has for its four places."""
    shifts = (16 * tl.arange(0, 4)).to(tl.uint64)
    return ((words[:, None] >> shifts[None, :]) & (_BINS - 1)).to(tl.int32)
