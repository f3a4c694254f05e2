"""A chip's codes, and what factors make of weights, in one go over memory on a CPU.

Compiled by numba when this is imported. Numba keeps what it compiled until this file is
changed: not so if a constant changes that comes from another.
"""

from collections.abc import Callable
from typing import Any

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

# Numba makes a floating-point number of a word and an integer.
_WORD = np.uint64
_STEP, _LAST = _WORD(STEP), _WORD(LAST)
_SHIFT, _FACTOR, _NEXT_SHIFT, _NEXT_FACTOR = (_WORD(each) for pair in ROUNDS for each in pair)
_CODE, _OUTER, _BINS = _WORD(BINS - 1), _WORD(OUTER), _WORD(BINS)
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
    """Write the codes of several chips, and return True."""
    numbers = _numbers(codes, start)
    _OPENMP.run(_fill.address, [numbers.ctypes.data, codes.data_ptr(), keys.data_ptr()])
    return True


def multiply(out: Tensor, weight: Tensor, factors: Tensor, keys: Tensor, start: int) -> bool:
    """Write a weight times the factor of its code, and return True; False if it is no float32."""
    if out.dtype != torch.float32:
        return False
    numbers, tensors = _numbers(out, start), (out, keys, weight, factors)
    _OPENMP.run(
        _multiply.address, [numbers.ctypes.data, *(tensor.data_ptr() for tensor in tensors)]
    )
    return True


def _numbers(rows: Tensor, start: int) -> np.ndarray:
    """Return what `_share` reads."""
    return np.array([*rows.shape, rows.stride(0), start], np.int64)


def _kernel(function: Callable) -> Any:
    try:
        return cfunc(_SIGNATURE, cache=True)(function)
    except RuntimeError:
        # There is no folder that numba may keep it in.
        return cfunc(_SIGNATURE)(function)


@njit(inline="always")
def _share(count):
    """Return which columns this thread does, from one up to another."""
    each = -(-count // (_ALIGNED * _threads())) * _ALIGNED
    return min(count, each * _thread()), min(count, each * (_thread() + 1))


@njit(inline="always")
def _word(place, first, second):
    """Return the hash of `words`."""
    number = place * _STEP + first
    number = (number ^ (number >> _SHIFT)) * _FACTOR ^ second
    number = (number ^ (number >> _NEXT_SHIFT)) * _NEXT_FACTOR
    return number ^ (number >> _LAST)


@njit(inline="always")
def _finer(place, first, second):
    """Return the code of a place whose first one is of an outer piece."""
    found = _word(place >> _2, first, second) >> (_16 * (place & _3))
    return (found & _CODE) + _BINS


@njit(inline="always")
def _first_codes(words, place, first, second):
    """Fill `words`, of a block from a place on, and return the codes that begin there."""
    for k in range(len(words)):
        words[k] = _word((place >> _2) + _WORD(k), first, second)
    return words.view(np.uint16)[int(place & _3) :]


@_kernel
def _fill(pointers):
    rows, count, stride, start = carray(pointers[0], 4, np.int64)
    codes = carray(pointers[1], (rows, stride), np.int32)
    keys = carray(pointers[2], (rows, 4), np.uint64)
    words = np.empty(_BLOCK // 4 + 1, np.uint64)
    from_, to = _share(count)
    for row in range(rows):
        for begin in range(from_, to, _BLOCK):
            place = _WORD(start + begin)
            found = _first_codes(words, place, keys[row, 0], keys[row, 1])
            out = codes[row, begin : min(begin + _BLOCK, to)]
            outer = 0
            for i in range(len(out)):
                out[i] = found[i]
                outer += found[i] < _OUTER
            if outer:
                for i in range(len(out)):
                    if found[i] < _OUTER:
                        out[i] = _finer(place + _WORD(i), keys[row, 2], keys[row, 3])


@_kernel
def _multiply(pointers):
    rows, count, stride, start = carray(pointers[0], 4, np.int64)
    products = carray(pointers[1], (rows, stride), np.float32)
    keys = carray(pointers[2], (rows, 4), np.uint64)
    weight = carray(pointers[3], count, np.float32)
    factors = carray(pointers[4], 2 * BINS, np.float32)
    words = np.empty(_BLOCK // 4 + 1, np.uint64)
    from_, to = _share(count)
    for row in range(rows):
        for begin in range(from_, to, _BLOCK):
            place = _WORD(start + begin)
            found = _first_codes(words, place, keys[row, 0], keys[row, 1])
            end = min(begin + _BLOCK, to)
            clean, out = weight[begin:end], products[row, begin:end]
            outer = 0
            for i in range(len(out)):
                out[i] = clean[i] * factors[found[i]]
                outer += found[i] < _OUTER
            if outer:
                for i in range(len(out)):
                    if found[i] < _OUTER:
                        code = _finer(place + _WORD(i), keys[row, 2], keys[row, 3])
                        out[i] = clean[i] * factors[code]
