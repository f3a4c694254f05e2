"""PyTorch's own threads, for kernels of ours.

After each of PyTorch's operations its threads look for the next one, for about a
millisecond. Threads of our own would share the cores with them, and a kernel between
two forward passes would take twice as long. So it runs where PyTorch's run: by what a
compiler makes of `#pragma omp parallel`, the function GOMP_parallel of GNU's OpenMP.
"""

import ctypes
from functools import lru_cache
from pathlib import Path

import torch

THREAD, THREADS = "omp_get_thread_num", "omp_get_num_threads"
"""What a kernel may ask, each of no argument: its number, and of how many."""


class OpenMP:
    """GNU's OpenMP.

    Args:
        path: of the library that PyTorch uses: as it is in the process already, it is that one.
    """

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._parallel = self._library.GOMP_parallel
        self._parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._parallel.restype = None

    def address(self, name: str) -> int:
        """Return where a function is."""
        return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value

    def run(self, kernel: int, pointers: list[int]) -> None:
        """Call a kernel on each thread, and wait for all.

        Args:
            kernel: the address of a function of one pointer.
            pointers: what it points at.
        """
        memory = (ctypes.c_void_p * len(pointers))(*pointers)
        self._parallel(kernel, ctypes.addressof(memory), torch.get_num_threads(), 0)


@lru_cache(maxsize=1)
def openmp() -> OpenMP | None:
    """Return PyTorch's, or None if it brings another one: PyPI's for Linux brings GNU's."""
    found = [*(Path(torch.__file__).parent / "lib").glob("libgomp*.so*")]
    return OpenMP(found[0]) if len(found) == 1 else None
