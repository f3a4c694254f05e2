"""Compiled kernels, where they can be had.

PyTorch's own operations give the same to the bit, but go over memory at each step of a hash:
they take four times as long on a CPU, thirty times on a GPU.

cpu            by numba, the extra `fast`, where PyTorch's threads are GNU's OpenMP: on Linux
gpu            codes, by PyTorch's own compiler
gpu_products   drifted weights, by Triton, which comes with PyTorch on Linux
"""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor

from bayesft.drift.kernels.openmp import openmp
from bayesft.drift.quantiles import BINS

Kernel = TypeVar("Kernel", bound=Callable)


def fill(codes: Tensor, keys: Tensor, start: int) -> bool:
    """Write the codes of several chips, or return False where there is no kernel.

    Args:
        codes: int32, shape `(D, n)`, with a stride of 1 along n.
        keys: int64, shape `(D, 4)`, contiguous, on that device.
        start: the first place.
    """
    if torch.compiler.is_compiling():
        return False
    kernels = _of(codes.device.type)
    return kernels is not None and kernels.fill(codes, keys, start)


def multiplies(out: Tensor, weight: Tensor, factors: Tensor) -> bool:
    """Tell whether there is a kernel that `multiply` can use for these.

    For float32 on a CPU or a GPU, each contiguous, of the shapes that are said there.
    """
    if torch.compiler.is_compiling():
        return False
    return (
        all(map(_is_plain, (out, weight, factors)))
        and out.device == weight.device == factors.device
        and out.shape[1:] == weight.shape
        and factors.shape == (2 * BINS,)
        and _multiplier(out.device) is not None
    )


def multiply(
    out: Tensor,
    weight: Tensor,
    factors: Sequence[Tensor],
    keys: Tensor,
    runs: Sequence[int],
    start: int,
) -> None:
    """Write a weight times the factor of its code, for several draws. If it `multiplies`.

    Args:
        out: shape `(D, n)`.
        weight: shape `(n,)`.
        factors: of S runs of draws, one for each code.
        keys: int64, shape `(D, 4)`, contiguous.
        runs: the lengths of the runs, S of them, which sum to D.
        start: the place of the first weight.
    """
    _multiplier(out.device)(out, weight, factors, keys, runs, start)


def _multiplier(device: torch.device) -> Callable[..., None] | None:
    """Return what multiplies on a device, None if nothing does."""
    if device.type == "cuda":
        return _gpu_multiplier(str(device))
    kernels = _of(device.type)
    return None if kernels is None else kernels.multiply


@lru_cache(maxsize=16)
def _gpu_multiplier(device: str) -> Callable[..., None] | None:
    """Return what multiplies on a GPU, compiled."""

    def load() -> Callable[..., None]:
        products = importlib.import_module(f"{__name__}.gpu_products")
        # Triton compiles anew for numbers that 16 divides, as they are mostly, and for ones.
        weight, table = torch.ones(4096, device=device), torch.ones(2 * BINS, device=device)
        keys = torch.zeros(2, 4, dtype=torch.int64, device=device)
        for runs in ([2], [1, 1]):
            out = torch.empty(2, 4096, device=device)
            products.multiply(out, weight, [table] * len(runs), keys, runs, 0)
        return products.multiply

    return compiled(load, device, otherwise="chips are the same, but take longer")


def compiled(load: Callable[[], Kernel], device: str, *, otherwise: str) -> Kernel | None:
    """Return a kernel of Triton's; None without Triton, and with a warning if it cannot compile.

    Args:
        load: imports it and calls it once, so that it is compiled; Triton keeps it on the disk.
        device: of the kernel.
        otherwise: what it is to be without it.
    """
    # PyTorch brings it along where there is one.
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        return load()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(
            f"Triton could not compile a kernel for {device} ({type(error).__name__}: {error}): "
            f"{otherwise}.",
            stacklevel=3,
        )
        return None


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor's float32 numbers lie at its address, one after the other."""
    return (
        type(tensor) is Tensor
        and tensor.device.type in ("cpu", "cuda")
        and tensor.dtype == torch.float32
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
    )


@lru_cache(maxsize=4)
def _of(device: str) -> ModuleType | None:
    """Return the kernels for a kind of device, None where there are none.

    They are imported when first asked for: numba takes half a second.
    """
    if device == "cuda":
        return importlib.import_module(f"{__name__}.gpu")
    if device != "cpu" or openmp() is None or importlib.util.find_spec("numba") is None:
        return None
    try:
        return importlib.import_module(f"{__name__}.cpu")
    except Exception as error:
        warnings.warn(
            f"numba could not compile the kernels of drift ({type(error).__name__}: {error}): "
            "chips are the same, but take longer. Without numba there is no such warning.",
            stacklevel=2,
        )
        return None
