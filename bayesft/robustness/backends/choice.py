"""Which backend to take: the one asked for, or the fastest."""

import math
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
from bayesft.robustness.backends.timing import Probe, Taken, time_backend
from bayesft.robustness.batches import form_of_tensors, tensors_of
from bayesft.robustness.score import Score, name_of

# Draws that a backend is tried on.
_FEW = 2
# Draws to reckon with where an evaluation stops by itself.
_UNKNOWN = 256
# Where nothing else serves, whatever it takes.
_ALONE = {"in_place": Taken(call=0.0, draw=0.0, most=1)}

# For each network what the backends take, by what it is scored on: a training asks each epoch.
_KNOWN: MutableMapping[nn.Module, dict[Hashable, dict[str, Taken]]] = WeakKeyDictionary()


def choose(
    name: str,
    model: nn.Module,
    weights: DriftingWeights,
    score: Score,
    *,
    probe: Probe,
    draws: int | None = None,
) -> Backend:
    """Return the backend called `name`, or for `auto` the one to take.

    On a CPU that is `in_place`, which serves any network and any score, or for what it
    serves `ManyLinear`: the same each time, so that a run repeats to the bit. So it is for a
    large network, of which `in_place` needs the fewest copies, and under `torch.autocast`,
    whose rules PyTorch's vmap does not follow in all: it adds biases in float32
    (pytorch/pytorch issue 192617). On a GPU, where a small network waits for its own
    launches, all are timed on a few draws, the first time that a network is scored by a score
    of this name on batches of this form (later ones of the same evaluation may have other
    forms), and the one is taken that so many draws take the least time with.

    Args:
        name: `auto`, `in_place` or `vmap`.
        model: what is scored.
        weights: of `model`.
        score: a function of (model, batch).
        probe: gives what to try with.
        draws: how many there will be, at all sigmas; None where that is not known.

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
        return _fastest(model, weights, score, probe, draws or _UNKNOWN)
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


def _fastest(
    model: nn.Module, weights: DriftingWeights, score: Score, probe: Probe, draws: int
) -> Backend:
    [batch] = probe(1)[1]
    form = form_of_tensors(batch), name_of(score)
    known = _KNOWN.setdefault(model, {})
    if form not in known:
        known[form] = _time_all(model, weights, score, probe)
    times = known[form]
    backend = BACKENDS[min(times, key=lambda name: times[name].of(draws))](model, weights, score)
    if isinstance(backend, InPlace):
        return backend

    def give_up() -> Backend:
        known[form] = _ALONE
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


def _time_all(
    model: nn.Module, weights: DriftingWeights, score: Score, probe: Probe
) -> dict[str, Taken]:
    """Return what each backend takes that serves the network."""
    times: dict[str, Taken] = {}
    for name in BACKENDS:
        backend = BACKENDS[name](model, weights, score)
        least = min((each.of(_UNKNOWN) / _UNKNOWN for each in times.values()), default=math.inf)
        try:
            taken = time_backend(backend, probe, weights.device, draws=_UNKNOWN, least=least)
            if taken is None:
                continue
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
        times[name] = taken
    # None had the memory.
    return times or _ALONE
