"""Compiled kernels, where they can be had. PyTorch's own operations give the same to the bit.

These read and write memory at each step of a hash: on a CPU they take three times as long,
on a GPU thirty times.

cpu    by numba, the extra `fast`, where PyTorch's threads are GNU's OpenMP: on Linux
gpu    by PyTorch's own compiler
"""

import importlib
import warnings
from functools import lru_cache
from types import ModuleType

from torch import Tensor

from bayesft.drift.kernels.openmp import openmp


def fill(codes: Tensor, keys: Tensor, start: int) -> bool:
    """Write the codes of several chips, or return False where there is no kernel.

    Args:
        codes: int32, shape `(D, n)`, with a stride of 1 along n.
        keys: int64, shape `(D, 4)`, on that device.
        start: the first place.
    """
    kernels = _of(codes.device.type)
    return kernels is not None and kernels.fill(codes, keys, start)


def multiply(out: Tensor, weight: Tensor, factors: Tensor, keys: Tensor, start: int) -> bool:
    """Write a weight times the factor of its code, or return False where there is no kernel.

    Args:
        out: float32 or float64, shape `(D, n)`, contiguous.
        weight: of that type, shape `(n,)`, contiguous.
        factors: of that type, one for each code.
        keys: int64, shape `(D, 4)`, on that device.
        start: the place of the first weight.
    """
    kernels = _of(out.device.type) if out.device.type == "cpu" else None
    return kernels is not None and kernels.multiply(out, weight, factors, keys, start)


@lru_cache(maxsize=4)
def _of(device: str) -> ModuleType | None:
    """Return the kernels for a kind of device, None where there are none.

    They are imported when first asked for: numba takes half a second.
    """
    if device == "cuda":
        return importlib.import_module(f"{__name__}.gpu")
    if device != "cpu" or openmp() is None:
        return None
    try:
        return importlib.import_module(f"{__name__}.cpu")
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
    except Exception as error:
        warnings.warn(
            f"numba could not compile the kernels of drift ({type(error).__name__}: {error}): "
            "chips are the same, but take longer. Without numba there is no such warning.",
            stacklevel=2,
        )
    return None
