"""What a backend takes, by a few draws."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bayesft.drift import Chip
from bayesft.robustness.backends.base import Backend

# Draws that a backend is timed on, and how often.
_FEW, _MANY = 2, 6
_TIMES = 2

Probe = Callable[[int], tuple[Sequence[Chip], Sequence[Any], Sequence[Sequence[float]]]]
"""Gives what a backend is called with, for so many chips."""


@dataclass(frozen=True)
class Taken:
    """What a backend takes.

    Attributes:
        call: seconds of a call beside its draws.
        draw: seconds of each of them.
        most: draws of a call.
    """

    call: float
    draw: float
    most: int

    def of(self, draws: int) -> float:
        """Return the seconds of so many draws."""
        return -(-draws // self.most) * self.call + draws * self.draw


def time_backend(
    backend: Backend, probe: Probe, device: torch.device, *, draws: int, least: float
) -> Taken | None:
    """Return a backend's seconds for a call and for a draw, from calls of two sizes.

    What is slow at first is not in it.

    Args:
        backend: to be timed.
        probe: gives what to call it with.
        device: that it is waited for on.
        draws: that an evaluation has.
        least: seconds; None is returned of a backend that takes more for each of these draws,
            whatever a draw beside others takes.
    """
    most = backend.chunk(probe(1)[1][0])
    if most <= _FEW:
        return Taken(0.0, _seconds(backend, probe(most), device) / most, most)
    few = _seconds(backend, probe(_FEW), device)
    if few > min(draws, most) * least:
        return None
    many = min(_MANY, most)
    each = (_seconds(backend, probe(many), device) - few) / (many - _FEW)
    each = min(max(0.0, each), few / _FEW)
    return Taken(few - _FEW * each, each, most)


def _seconds(backend: Backend, given: tuple[Sequence[Any], ...], device: torch.device) -> float:
    """Return the least time of a few calls, the first apart."""
    backend(*given)
    _wait_for(device)
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        backend(*given)
        _wait_for(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
