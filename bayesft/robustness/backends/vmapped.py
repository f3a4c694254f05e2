"""Many draws in one call, by `torch.func.vmap`: for networks that leave a GPU idle."""

from collections.abc import Hashable, MutableMapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bayesft.drift import Chip, DriftingWeights
from bayesft.drift.pinned import rows_at
from bayesft.robustness.backends.base import mean_and_variance, of_each_image
from bayesft.robustness.backends.convolutions import Convolutions
from bayesft.robustness.batches import bytes_of, form_of_tensors, mapped, stacked
from bayesft.robustness.score import Score

# On a CPU; there are few calls for a small network then, whose time they are.
_CPU_BYTES = 1 << 26
# Of the memory that is free on a GPU.
_GPU_SHARE = 0.25
# Codes and weights, or weights alone.
_COPIES = 2
_COPIES_STREAMED = 1

# For each network the bytes that its modules give out, by what they are given: to measure it
# takes a forward pass, and a training asks each epoch.
_GIVEN_OUT: MutableMapping[nn.Module, dict[Hashable, int]] = WeakKeyDictionary()


class Vmapped:
    """Scores a chunk of draws as one batch of networks; the network keeps its own weights.

    A call takes a GPU as long as many draws, so there it has those of all sigmas; on a CPU,
    where copies of images would take longer, those of one.

    Networks that update BatchNorm's statistics, are random in eval mode, or whose
    control flow depends on their data cannot be vectorised: PyTorch raises.

    Args: see `InPlace`.
    """

    def __init__(self, model: nn.Module, weights: DriftingWeights, score: Score) -> None:
        self.model = model
        self.weights = weights
        self.scored = _Scored(model, score)
        self._aliases = _aliases(model, weights.names)
        self._most: int | None = None
        self.mixes = weights.device.type != "cpu"
        on_gpu = weights.device.type == "cuda"
        self._convolutions = Convolutions() if on_gpu else nullcontext()

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[Sequence[float]]
    ) -> Tensor:
        images = stacked(batches)
        most = self.chunk(batches[0]) if self.mixes else len(chips)
        places = [place for place, own in enumerate(sigmas) for _ in own]
        strengths = [sigma for own in sigmas for sigma in own]
        # Those of one sigma together.
        order = sorted(range(len(places)), key=strengths.__getitem__)
        kept, start = [], 0
        while start < len(order):
            # Nearly as many each time, so that mostly memory fits again.
            calls = -(-(len(order) - start) // most)
            size = -(-(len(order) - start) // calls)
            some = [(places[k], strengths[k]) for k in order[start : start + size]]
            if not self.mixes:
                some = [draw for draw in some if draw[1] == some[0][1]]
            scores = self._scores(chips, images, some)
            if scores is None:
                self._most = most = len(some) // 2
            else:
                kept.append(scores)
                start += len(some)
        back = [0] * len(order)
        for place, draw in enumerate(order):
            back[draw] = place
        return rows_at(torch.cat(kept), back)

    def _scores(
        self, chips: Sequence[Chip], images: Any, draws: Sequence[tuple[int, float]]
    ) -> Tensor | None:
        """Score several draws in one call, or return None if they do not fit into memory.

        Args:
            chips: of which the draws are.
            images: a batch for each chip, stacked.
            draws: the place of a chip and a strength for each.
        """

        def one(weights: dict[str, Tensor], batch: Any) -> Tensor:
            # Where a layer is used twice, tying by PyTorch would leave the network with
            # batched weights (pytorch/pytorch issue 164759).
            return functional_call(self.scored, weights, (batch,), tie_weights=False)

        places = [place for place, _ in draws]
        try:
            rows = self.weights.rows([(chips[place], sigma) for place, sigma in draws])
            everywhere = {
                f"model.{alias}": weight
                for name, weight in self.weights.stacked(rows).items()
                for alias in self._aliases[name]
            }
            own = mapped(images, lambda each: rows_at(each, places))
            with self._convolutions:
                scores = vmap(one)(everywhere, own)
            # Of a whole batch each is one number, as of a single image.
            return mean_and_variance(scores if scores.ndim > 1 else scores[:, None])
        except torch.OutOfMemoryError:
            if len(draws) == 1:
                raise
        return None

    def chunk(self, batch: Any) -> int:
        known = _GIVEN_OUT.setdefault(self.model, {})
        form = self.weights.kind, form_of_tensors(batch)
        if form not in known:
            known[form] = self._measure(batch)
        copies = _COPIES_STREAMED if self.weights.streamed else _COPIES
        each = copies * 4 * self.weights.count + known[form] + bytes_of(batch)
        return max(1, min(self._budget // each, self._most or self._budget))

    @cached_property
    def _budget(self) -> int:
        """The bytes that a call may take. Once for an evaluation: the driver takes its time."""
        device = self.weights.device
        if device.type != "cuda":
            return _CPU_BYTES
        return int(_GPU_SHARE * torch.cuda.mem_get_info(device)[0])

    def _measure(self, batch: Any) -> int:
        """Return the bytes that the network's modules give out for one batch."""
        total = 0

        def add(module: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal total
            if isinstance(output, Tensor):
                total += output.numel() * output.element_size()

        leaves = [module for module in self.model.modules() if not any(module.children())]
        hooks = [module.register_forward_hook(add) for module in leaves]
        try:
            # On weights that do not drift, and not on the clean ones, which a layer may write
            # (an embedding with a largest norm).
            for _ in self.weights.draws([Chip(0, 0)], [0.0]):
                self.scored(batch)
        finally:
            for hook in hooks:
                hook.remove()
        return total


def _aliases(model: nn.Module, names: Sequence[str]) -> dict[str, list[str]]:
    """Return where each parameter is met: once in each module that has it."""
    places: dict[nn.Parameter, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            places.setdefault(parameter, []).append(f"{path}.{name}" if path else name)
    found = dict(model.named_parameters())
    return {name: places[found[name]] for name in names}


class _Scored(nn.Module):
    """A score as a module, so that `functional_call` can exchange the weights beneath it."""

    def __init__(self, model: nn.Module, score: Score) -> None:
        super().__init__()
        self.model = model
        self.score = score

    def forward(self, batch: Any) -> Tensor:
        return of_each_image(self.score(self.model, batch), batch)
