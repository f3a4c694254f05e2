"""Ways to score a network under many draws; one file each, and `choose` among them."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.errors import BayesFTError, SettingError
from bayesft.robustness.backends.base import Backend, Reduce, mean_and_variance, mean_score
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped
from bayesft.robustness.score import Score

BACKENDS: dict[str, type[Backend]] = {"in_place": InPlace, "vmap": Vmapped}
AUTO = "auto"

__all__ = [
    "AUTO",
    "BACKENDS",
    "Backend",
    "InPlace",
    "Reduce",
    "Vmapped",
    "check_backend",
    "choose",
    "mean_and_variance",
    "mean_score",
]


def check_backend(name: str) -> str:
    """Return `name`; raise `SettingError` unless it is a backend's, or `auto`."""
    if name not in (AUTO, *BACKENDS):
        raise SettingError(
            f"Expected `backend` to be one of {', '.join((AUTO, *BACKENDS))}, but got {name!r}."
        )
    return name


def choose(
    name: str,
    model: nn.Module,
    weights: DriftingWeights,
    score: Score,
    *,
    probe: Callable[[], tuple[Sequence[Chip], Sequence[Any]]],
) -> Backend:
    """Return the backend called `name`, or for `auto` the one to take.

    On a CPU that is `in_place`, which serves any network and any score, and is the
    same each time, so that a run repeats to the bit; and for a large network, of which
    it needs the fewest copies. On a GPU, where a small network waits for its own
    launches, both are timed on a few draws.

    Args:
        name: `auto`, `in_place` or `vmap`.
        model: what is scored.
        weights: of `model`.
        score: a function of (model, batch).
        probe: gives a few chips and as many batches.

    Raises:
        SettingError: `vmap` was asked for by name and cannot serve this network.
    """
    in_place = InPlace(model, weights, score)
    if name == "in_place":
        return in_place
    device = weights.device
    if name == AUTO and (device.type == "cpu" or weights.streamed):
        return in_place
    chips, batches = probe()
    seconds: dict[Backend, float] = {in_place: _seconds(in_place, chips, batches, device)}
    for other in BACKENDS if name == AUTO else [name]:
        backend = BACKENDS[other](model, weights, score)
        try:
            seconds[backend] = _seconds(backend, chips, batches, device)
        except BayesFTError:
            raise
        except Exception as error:
            if name == AUTO:
                continue
            raise SettingError(
                f"`backend={name}` cannot score {type(model).__name__} ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}). Use backend=in_place, or auto."
            ) from error
        if other == name:
            return backend
    return min(seconds, key=seconds.__getitem__)


def _seconds(
    backend: Backend, chips: Sequence[Chip], batches: Sequence[Any], device: torch.device
) -> float:
    backend(chips, batches, [0.0], mean_score)
    _wait_for(device)
    started = time.perf_counter()
    backend(chips, batches, [0.0], mean_score)
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
