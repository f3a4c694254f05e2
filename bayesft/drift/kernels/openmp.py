"""PyTorch's own threads, for kernels of ours.

After each of PyTorch's operations its threads look for the next one, for about a
millisecond. Threads of our own would share the cores with them, and a kernel between
two forward passes would take twice as long. So it runs where PyTorch's run: by what a
compiler makes of `#pragma omp parallel`, the function GOMP_parallel of GNU's OpenMP.
"""

import ctypes
import os
from functools import lru_cache
from pathlib import Path

import torch

THREAD, THREADS = "omp_get_thread_num", "omp_get_num_threads"
"""What a kernel may ask, each of no argument: its number, and of how many."""

# Less is done by one thread: PyTorch's own limit for its operations.
_SMALLEST_SHARED = 1 << 15
_forked = False


class OpenMP:
    """The OpenMP that PyTorch uses.

    Args:
        library: PyTorch's, which finds what itself was linked with.

    Raises:
        AttributeError: that is not GNU's, or none that can stand in for it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._parallel = library.GOMP_parallel
        self._parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._parallel.restype = None

    def address(self, name: str) -> int:
        """Return where a function is."""
        return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value

    def run(self, kernel: int, pointers: list[int], size: int) -> None:
        """Call a kernel on each thread, and wait for all.

        Args:
            kernel: the address of a function of one pointer.
            pointers: what it points at.
            size: how many numbers are made.
        """
        memory = (ctypes.c_void_p * len(pointers))(*pointers)
        alone = _forked or size < _SMALLEST_SHARED
        threads = 1 if alone else torch.get_num_threads()
        self._parallel(kernel, ctypes.addressof(memory), threads, 0)


@lru_cache(maxsize=1)
def openmp() -> OpenMP | None:
    """Return it, or None if PyTorch uses another one: PyPI's for Linux does not."""
    try:
        found = OpenMP(ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")))
        for name in (THREAD, THREADS):
            found.address(name)
    except (OSError, AttributeError):
        return None
    return found


def _after_fork() -> None:
    # The threads were left behind, and would be waited for.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
