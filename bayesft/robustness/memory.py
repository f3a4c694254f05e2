"""Memory that a process keeps between forward passes."""

from functools import lru_cache

import torch

# The most that glibc lets its limit rise to is 32 MiB.
_LARGEST = 31 << 20


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let the C library keep what is freed, where it is glibc: once in a process.

    It gives memory at the top of the heap back to the system when more than twice the
    largest block that was ever mapped on its own is free there, and gets it back page by
    page: with draws between forward passes, LeNet-5 then spends a third of its time on
    that. Once a block of nearly the largest size was mapped and freed, it keeps 62 MiB.
    """
    torch.empty(_LARGEST, dtype=torch.uint8, device="cpu")
