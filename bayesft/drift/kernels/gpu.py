"""The codes of chips in one kernel of a GPU.

PyTorch's own operations would read and write memory at each step of a hash, thirty times
what the codes take: on a GPU the codes of a network would take as long as its forward pass.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from bayesft.drift.quantiles import BINS, OUTER
from bayesft.drift.words import LAST, ROUNDS, STEP

# The hash of `words`, of a place's word and with the keys of a first and a finer code.
_SOURCE = """
template <typename T>
T code(T start, T step, T first, T second, T finer_first, T finer_second) {{
  typedef unsigned long long word;
  const T place = start + step;
  T keys[4] = {{first, second, finer_first, finer_second}};
  const int shift = 16 * (int)(place & 3);
  word found = 0;
  for (int level = 0; level < 2; ++level) {{
    word z = ((word)place >> 2) * {step}ULL + (word)keys[2 * level];
    z = (z ^ (z >> {shift})) * {factor}ULL ^ (word)keys[2 * level + 1];
    z = (z ^ (z >> {next_shift})) * {next_factor}ULL;
    z = z ^ (z >> {last});
    found = (z >> shift) & {mask}ULL;
    if (level == 0 && found >= {outer}ULL) return (T)found;
  }}
  return (T)(found + {bins}ULL);
}}
"""
# Codes that are made at once, as integers of 64 bits, in rows of so many: their places are
# sums of two short rows, which are read in place of a long one.
_BLOCK = 1 << 23
_ROW = 1 << 12


def fill(codes: Tensor, keys: Tensor, start: int) -> bool:
    """Write the codes of several chips, or return False where no kernel can be had.

    Args:
        codes: int32, shape `(D, n)`, on a GPU.
        keys: int64, shape `(D, 4)`, there too.
        start: the first place.
    """
    kernel = _kernel(str(codes.device))
    if kernel is None:
        return False
    count = codes.shape[1]
    steps = torch.arange(_ROW, device=codes.device)
    columns = keys[:, :, None, None]
    size = max(1, _BLOCK // max(_ROW, count))
    for block, chosen in zip(codes.split(size), columns.split(size), strict=True):
        for number, part in enumerate(block.split(_BLOCK, dim=1)):
            first, width = start + number * _BLOCK, part.shape[1]
            starts = torch.arange(first, first + width, _ROW, device=codes.device)[:, None]
            part.copy_(kernel(starts, steps, *chosen.unbind(1)).flatten(1)[:, :width])
    return True


def source() -> str:
    """Return the kernel in C++, a function of a place, in two parts, and of a chip's four keys."""
    (shift, factor), (next_shift, next_factor) = ROUNDS
    return _SOURCE.format(
        step=STEP, shift=shift, factor=factor, next_shift=next_shift, next_factor=next_factor,
        last=LAST, mask=BINS - 1, outer=OUTER, bins=BINS,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _kernel(device: str) -> Callable[..., Tensor] | None:
    """Return the kernel, compiled once: PyTorch keeps it on the disk."""
    try:
        # In beta since PyTorch 1.12, and it wants a compiler that PyTorch brings along.
        kernel = torch.cuda.jiterator._create_jit_fn(source())
        kernel(*torch.zeros(6, 1, dtype=torch.int64, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(
            f"PyTorch could not compile a kernel for {device} ({error}): chips are the same, but "
            "take longer.",
            stacklevel=2,
        )
        return None
    return kernel
