"""Ways to score a network under many draws; one file each, and `choose` among them."""

import math
import time
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.errors import BayesFTError, SettingError
from bayesft.robustness.backends.base import Backend, Reduce, mean_and_variance, mean_score
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped
from bayesft.robustness.batches import tensors_of
from bayesft.robustness.score import Score

BACKENDS: dict[str, type[Backend]] = {"in_place": InPlace, "vmap": Vmapped}
AUTO = "auto"
# Draws that a backend is timed on.
_FEW, _MANY = 2, 8
# Of what a draw takes with another backend: with more, it is not tried any further.
_HOPELESS = 8
# Draws that an evaluation has in a call, if it can.
_TAKEN = 32
# For each network what was chosen, by what it was scored on: a training asks each epoch.
_CHOSEN: MutableMapping[nn.Module, dict[Hashable, str]] = WeakKeyDictionary()

Probe = Callable[[int], tuple[Sequence[Chip], Sequence[Any]]]
"""Gives so many chips and batches."""

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
    probe: Probe,
) -> Backend:
    """Return the backend called `name`, or for `auto` the one to take.

    On a CPU that is `in_place`, which serves any network and any score, and is the
    same each time, so that a run repeats to the bit. So it is for a large network, of which
    it needs the fewest copies, and under `torch.autocast`, whose rules PyTorch's vmap does
    not follow in all: it adds biases in float32 (pytorch/pytorch issue 192617). On a GPU,
    where a small network waits for its own launches, both are timed on a few draws, the
    first time that a network is scored on batches of a form.

    Args:
        name: `auto`, `in_place` or `vmap`.
        model: what is scored.
        weights: of `model`.
        score: a function of (model, batch).
        probe: gives chips and batches to try with.

    Raises:
        SettingError: `vmap` was asked for by name and cannot serve this network.
    """
    device = weights.device
    halved = torch.is_autocast_enabled(device.type)
    if name == AUTO and (device.type == "cpu" or weights.streamed or halved):
        name = "in_place"
    if name == "in_place":
        return InPlace(model, weights, score)
    if name == AUTO:
        [batch] = probe(1)[1]
        known, key = _CHOSEN.setdefault(model, {}), _form(batch, score)
        if key not in known:
            known[key] = _fastest(model, weights, score, probe=probe)
        return BACKENDS[known[key]](model, weights, score)
    backend = BACKENDS[name](model, weights, score)
    try:
        backend(*probe(2), [0.0], mean_score)
    except BayesFTError:
        raise
    except Exception as error:
        raise SettingError(
            f"`backend={name}` cannot score {type(model).__name__} ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Use backend=in_place, or auto."
        ) from error
    return backend


def _form(batch: Any, score: Score) -> Hashable:
    """Return what tells whether two scorings of a network take alike long."""
    shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(batch))
    name = getattr(score, "__qualname__", type(score).__name__)
    return shapes, name


def _fastest(model: nn.Module, weights: DriftingWeights, score: Score, *, probe: Probe) -> str:
    """Return the name of the backend with which a draw takes the least time.

    A call takes a time of its own and one for each draw, which two numbers of draws tell
    apart.
    """
    fastest, least = "in_place", math.inf
    for name in BACKENDS:
        backend = BACKENDS[name](model, weights, score)
        try:
            few = _seconds(backend, *probe(_FEW), weights.device)
            if few / _FEW > _HOPELESS * least:
                continue
            many = _seconds(backend, *probe(_MANY), weights.device)
        except BayesFTError:
            raise
        except Exception:
            if name == "in_place":
                raise
            continue
        each = max(0.0, (many - few) / (_MANY - _FEW))
        at_once = max(1, min(_TAKEN, backend.chunk(probe(1)[1][0])))
        seconds = each + max(0.0, few - _FEW * each) / at_once
        if seconds < least:
            fastest, least = name, seconds
    return fastest


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
