"""A chip's codes, and what factors make of weights, in one go over memory on a CPU.

Compiled by numba when this is imported. Numba keeps what it compiled until this file is
changed, and so a kernel is given the constants that come from others.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite.binding import add_symbol
from numba import carray, cfunc, config, njit, types
from torch import Tensor

from bayesft.drift.kernels.openmp import THREAD, THREADS, openmp
from bayesft.drift.quantiles import BINS, OUTER
from bayesft.drift.words import LAST, ROUNDS, STEP

# Places that are worked on at once: their words and codes stay next to a core.
_BLOCK = 256
# Where one thread's share may begin: no two write to one line of a cache.
_ALIGNED = 16


class _Constants(NamedTuple):
    """Of `words` and `quantiles`, in the order of `_CONSTANTS`."""

    step: int
    shift: int
    factor: int
    next_shift: int
    next_factor: int
    last: int
    bins: int
    outer: int


_CONSTANTS = np.array(
    [STEP, *(each for pair in ROUNDS for each in pair), LAST, BINS, OUTER], np.uint64
)
# Numba makes a floating-point number of a word and an integer.
_WORD = np.uint64
_1, _2, _3, _16 = map(_WORD, (1, 2, 3, 16))

if config.DISABLE_JIT:
    # As Python they would take a hundred times as long as PyTorch.
    raise RuntimeError("NUMBA_DISABLE_JIT is set")
_OPENMP = openmp()
for _name in (THREAD, THREADS):
    add_symbol(_name, _OPENMP.address(_name))
_thread, _threads = (types.ExternalFunction(name, types.int32()) for name in (THREAD, THREADS))
_SIGNATURE = types.void(types.CPointer(types.voidptr))


def fill(codes: Tensor, keys: Tensor, start: int) -> bool:
    """Write the codes of several chips, and return True; False if PyTorch has to."""
    rows, count = codes.shape
    plain = type(codes) is Tensor and codes.dtype == torch.int32 and codes.stride(1) == 1
    apart = rows == 1 or codes.stride(0) >= count
    if not (plain and apart):
        return False
    _run(_fill, codes, keys, start)
    return True


def multiply(
    out: Tensor,
    weight: Tensor,
    factors: Sequence[Tensor],
    keys: Tensor,
    runs: Sequence[int],
    start: int,
) -> None:
    """Write a weight times the factor of its code, of several runs of draws."""
    parts = zip(out.split(list(runs)), keys.split(list(runs)), factors, strict=True)
    for rows, own, table in parts:
        _run(_multiply, rows, own, start, weight, table)


def _run(kernel: Any, rows: Tensor, keys: Tensor, start: int, *more: Tensor) -> None:
    """Run a kernel over rows that it writes."""
    if keys.shape != (len(rows), 4) or not keys.is_contiguous():
        raise ValueError(f"Expected the keys of {len(rows)} chips, but got {tuple(keys.shape)}.")
    # One row may have any stride.
    stride = rows.stride(0) if len(rows) > 1 else rows.shape[1]
    numbers = np.array([*rows.shape, stride, start], np.int64)
    pointers = [each.data_ptr() for each in (keys, rows, *more)]
    given = [numbers.ctypes.data, _CONSTANTS.ctypes.data, *pointers]
    _OPENMP.run(kernel.address, given, rows.numel())


def _kernel(function: Callable) -> Any:
    try:
        return cfunc(_SIGNATURE, cache=True)(function)
    except Exception:
        # There is no folder that numba may keep it in, or what is in it cannot be read.
        return cfunc(_SIGNATURE)(function)


@njit(inline="always")
def _share(count):
    """Return which columns this thread does, from one up to another."""
    each = -(-count // (_ALIGNED * _threads())) * _ALIGNED
    return min(count, each * _thread()), min(count, each * (_thread() + 1))


@njit(inline="always")
def _given(pointers):
    """Return what `_run` gives every kernel: rows, columns, stride, place, constants and keys."""
    rows, count, stride, start = carray(pointers[0], 4, np.int64)
    c = carray(pointers[1], 8, np.uint64)
    # A compiler keeps these in registers, which it would not do with memory.
    constants = _Constants(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7])
    return rows, count, stride, start, constants, carray(pointers[2], (rows, 4), np.uint64)


@njit(inline="always")
def _word(place, first, second, constants):
    """Return the hash of `words`."""
    number = place * constants.step + first
    number = (number ^ (number >> constants.shift)) * constants.factor ^ second
    number = (number ^ (number >> constants.next_shift)) * constants.next_factor
    return number ^ (number >> constants.last)


@njit(inline="always")
def _finer(place, first, second, constants):
    """Return the code of a place whose first one is of an outer piece."""
    found = _word(place >> _2, first, second, constants) >> (_16 * (place & _3))
    return (found & (constants.bins - _1)) + constants.bins


@njit(inline="always")
def _codes(out, words, place, keys, constants):
    """Write the codes from a place on, as many as `out` takes; `words` is to work with."""
    for k in range(len(words)):
        words[k] = _word((place >> _2) + _WORD(k), keys[0], keys[1], constants)
    found, outer = words.view(np.uint16)[int(place & _3) :], 0
    for i in range(len(out)):
        out[i] = found[i]
        outer += found[i] < constants.outer
    if outer:
        for i in range(len(out)):
            if found[i] < constants.outer:
                out[i] = _finer(place + _WORD(i), keys[2], keys[3], constants)


@_kernel
def _fill(pointers):
    rows, count, stride, start, constants, keys = _given(pointers)
    codes = carray(pointers[3], (rows, stride), np.int32)
    words = np.empty(_BLOCK // 4 + 1, np.uint64)
    from_, to = _share(count)
    for row in range(rows):
        for begin in range(from_, to, _BLOCK):
            out = codes[row, begin : min(begin + _BLOCK, to)]
            _codes(out, words, _WORD(start + begin), keys[row], constants)


@_kernel
def _multiply(pointers):
    rows, count, stride, start, constants, keys = _given(pointers)
    products = carray(pointers[3], (rows, stride), np.float32)
    weight = carray(pointers[4], count, np.float32)
    factors = carray(pointers[5], 2 * int(constants.bins), np.float32)
    words, block = np.empty(_BLOCK // 4 + 1, np.uint64), np.empty(_BLOCK, np.uint32)
    from_, to = _share(count)
    for row in range(rows):
        for begin in range(from_, to, _BLOCK):
            end = min(begin + _BLOCK, to)
            codes, clean, out = block[: end - begin], weight[begin:end], products[row, begin:end]
            _codes(codes, words, _WORD(start + begin), keys[row], constants)
            for i in range(len(out)):
                out[i] = clean[i] * factors[codes[i]]
