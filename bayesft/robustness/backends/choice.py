"""Which backend to take: the one asked for, or the fastest."""

import math
import time
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.errors import BayesFTError, SettingError
from bayesft.robustness.backends.base import Backend
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.linear import ManyLinear
from bayesft.robustness.backends.named import AUTO, BACKENDS
from bayesft.robustness.batches import form_of_tensors, tensors_of
from bayesft.robustness.score import Score, name_of

# Draws that a backend is timed on, and how often.
_FEW, _MANY = 2, 6
_TIMES = 2
# Draws that an evaluation has in a call, if it can: of one sigma, and of all.
_TAKEN, _TAKEN_TOGETHER = 32, 256

# For each network what was fastest, by what it was scored on: a training asks each epoch.
_KNOWN: MutableMapping[nn.Module, dict[Hashable, str]] = WeakKeyDictionary()

Probe = Callable[[int], tuple[Sequence[Chip], Sequence[Any], Sequence[Sequence[float]]]]
"""Gives what a backend is called with, for so many chips."""


def choose(
    name: str,
    model: nn.Module,
    weights: DriftingWeights,
    score: Score,
    *,
    probe: Probe,
) -> Backend:
    """Return the backend called `name`, or for `auto` the one to take.

    On a CPU that is `in_place`, which serves any network and any score, or for what it
    serves `ManyLinear`: the same each time, so that a run repeats to the bit. So it is for a
    large network, of which `in_place` needs the fewest copies, and under `torch.autocast`,
    whose rules PyTorch's vmap does not follow in all: it adds biases in float32
    (pytorch/pytorch issue 192617). On a GPU, where a small network waits for its own
    launches, all are timed on a few draws, the first time that a network is scored by a score
    of this name on batches of this form; later ones of the same evaluation may have other
    forms.

    Args:
        name: `auto`, `in_place` or `vmap`.
        model: what is scored.
        weights: of `model`.
        score: a function of (model, batch).
        probe: gives what to try with.

    Raises:
        SettingError: `vmap` was asked for by name and cannot serve this network.
    """
    device = weights.device
    autocast = torch.is_autocast_enabled(device.type)
    if name == AUTO and (device.type == "cpu" or weights.streamed or autocast):
        if not autocast and ManyLinear.serves(model, weights, score):
            return ManyLinear(model, weights, score)
        name = "in_place"
    if name == "in_place":
        return InPlace(model, weights, score)
    if name == AUTO:
        return _fastest(model, weights, score, probe)
    backend = BACKENDS[name](model, weights, score)
    try:
        backend.chunk(probe(1)[1][0])
        backend(*probe(_FEW))
    except BayesFTError:
        raise
    except Exception as error:
        raise SettingError(
            f"`backend={name}` cannot score {type(model).__name__} ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Use backend=in_place, or auto."
        ) from error
    if not _sees_the_drift(name, model, weights, score, probe):
        raise SettingError(
            f"`backend={name}` cannot score {type(model).__name__}: it reaches some of its weights "
            "by a list or an attribute that holds them beside their module, where they would not "
            "drift. Use backend=in_place, or auto."
        )
    return backend


def _sees_the_drift(
    name: str, model: nn.Module, weights: DriftingWeights, score: Score, probe: Probe
) -> bool:
    """Tell whether a backend scores the weights that it gives, and none that the network has."""
    backend = BACKENDS[name](model, weights, _of_outputs(score))
    expected = backend(*probe(_FEW))
    with weights.hidden():
        found = backend(*probe(_FEW))
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-6, equal_nan=True)


def _of_outputs(score: Score) -> Score:
    """Return a score that tells networks apart wherever their outputs do.

    An accuracy may be the same for two, 0 for those that are wrong and for those that give NaN.
    """

    def mean_output(model: nn.Module, batch: Any) -> Tensor:
        seen: list[Any] = []
        hook = model.register_forward_hook(lambda *call: seen.append(call[-1]))
        try:
            value = score(model, batch)
        finally:
            hook.remove()
        means = [each.mean() for each in tensors_of(seen) if each.is_floating_point()]
        return sum(means) if means else value

    return mean_output


def _fastest(model: nn.Module, weights: DriftingWeights, score: Score, probe: Probe) -> Backend:
    [batch] = probe(1)[1]
    form = form_of_tensors(batch), name_of(score)
    known = _KNOWN.setdefault(model, {})
    if form not in known:
        known[form] = _name_of_fastest(model, weights, score, probe)
    backend = BACKENDS[known[form]](model, weights, score)
    if isinstance(backend, InPlace):
        return backend

    def give_up() -> Backend:
        known[form] = "in_place"
        return InPlace(model, weights, score)

    return _UntilItFails(backend, give_up)


class _UntilItFails:
    """The backend that was fastest, and the one for any network from when that fails.

    What it could do once it may not be able to do with another score of this name, or since
    the network was changed. To try it first would take a small network as long as half of an
    evaluation.

    Args:
        backend: the first.
        give_up: gives the other.
    """

    def __init__(self, backend: Backend, give_up: Callable[[], Backend]) -> None:
        self.backend = backend
        self._give_up: Callable[[], Backend] | None = give_up

    @property
    def mixes(self) -> bool:
        return self.backend.mixes

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[Sequence[float]]
    ) -> Tensor:
        if self._give_up is not None:
            try:
                return self.backend(chips, batches, sigmas)
            except BayesFTError:
                raise
            except Exception:
                self.backend, self._give_up = self._give_up(), None
        # Here and not above, where the error keeps alive what it failed over. If it is the
        # network's or the score's own it comes again.
        size = self.backend.chunk(batches[0])
        parts = [slice(start, start + size) for start in range(0, len(chips), size)]
        return torch.cat([self.backend(chips[p], batches[p], sigmas[p]) for p in parts])

    def chunk(self, batch: Any) -> int:
        return self.backend.chunk(batch)


def _name_of_fastest(model: nn.Module, weights: DriftingWeights, score: Score, probe: Probe) -> str:
    """Return the name of the backend with which a draw takes the least time.

    A call takes a time of its own and one for each draw, which two numbers of draws tell
    apart.
    """
    fastest, least = "in_place", math.inf
    for name in BACKENDS:
        backend = BACKENDS[name](model, weights, score)
        try:
            seconds = _seconds_of_a_draw(backend, probe, weights.device, least)
            if name != "in_place" and not _sees_the_drift(name, model, weights, score, probe):
                continue
        except torch.OutOfMemoryError:
            continue
        except BayesFTError:
            raise
        except Exception:
            if name == "in_place":
                raise
            continue
        if seconds < least:
            fastest, least = name, seconds
    return fastest


def _seconds_of_a_draw(backend: Backend, probe: Probe, device: torch.device, least: float) -> float:
    """Return what a draw takes among many; infinity if that is more than `least` in any case."""
    taken = _TAKEN_TOGETHER if backend.mixes else _TAKEN
    most = min(taken, backend.chunk(probe(1)[1][0]))
    if most <= _FEW:
        return _seconds(backend, *probe(most), device) / most
    few = _seconds(backend, *probe(_FEW), device)
    if few > most * least:
        return math.inf
    many = min(_MANY, most)
    each = (_seconds(backend, *probe(many), device) - few) / (many - _FEW)
    each = min(max(0.0, each), few / _FEW)
    return each + (few - _FEW * each) / most


def _seconds(
    backend: Backend,
    chips: Sequence[Chip],
    batches: Sequence[Any],
    sigmas: Sequence[Sequence[float]],
    device: torch.device,
) -> float:
    """Return the least time of a few calls, what is slow the first time apart."""
    backend(chips, batches, sigmas)
    _wait_for(device)
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        backend(chips, batches, sigmas)
        _wait_for(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
