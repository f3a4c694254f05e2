"""Many draws in one call, by `torch.func.vmap`: for networks that leave a GPU idle."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bayesft.drift import Chip, DriftingWeights
from bayesft.robustness.backends.base import mean_and_variance, of_each_image
from bayesft.robustness.batches import bytes_of, stacked, tensors_of
from bayesft.robustness.score import Score

# On a CPU; there are few calls for a small network then, whose time they are.
_CPU_BYTES = 1 << 26
# Of the memory that is free on a GPU.
_GPU_SHARE = 0.25
# Codes and weights, or weights alone.
_COPIES = 2
_COPIES_STREAMED = 1


class Vmapped:
    """Scores a chunk of draws as one batch of networks; the network keeps its own weights.

    Networks that update BatchNorm's statistics, are random in eval mode, or whose
    control flow depends on their data cannot be vectorised: PyTorch raises.

    Args: see `InPlace`.
    """

    def __init__(self, model: nn.Module, weights: DriftingWeights, score: Score) -> None:
        self.model = model
        self.weights = weights
        self.scored = _Scored(model, score)
        self._aliases = _aliases(model, weights.names)
        self._activations: dict[int, int] = {}
        self._most: int | None = None

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[float]
    ) -> Tensor:
        images = stacked(batches)

        def one(weights: dict[str, Tensor], batch: Any) -> Tensor:
            # Where a layer is used twice, tying by PyTorch would leave the network with
            # batched weights (pytorch/pytorch issue 164759).
            return functional_call(self.scored, weights, (batch,), tie_weights=False)

        kept, rows = [], self.weights.rows(chips, sigmas)
        for _ in sigmas:
            try:
                drifted = self.weights.stacked(next(rows))
                everywhere = {
                    f"model.{alias}": weight
                    for name, weight in drifted.items()
                    for alias in self._aliases[name]
                }
                scores = vmap(one)(everywhere, images)
                # Of a whole batch each is one number, as of a single image.
                kept.append(mean_and_variance(scores if scores.ndim > 1 else scores[:, None]))
            except torch.OutOfMemoryError:
                if len(batches) == 1:
                    raise
                break
        else:
            return torch.stack(kept, dim=1)
        # Here and not above, where the error keeps alive what it failed over.
        drifted = everywhere = images = rows = None
        self._most = half = len(batches) // 2
        halves = (slice(half), slice(half, None))
        return torch.cat([self(chips[h], batches[h], sigmas) for h in halves])

    def chunk(self, batch: Any) -> int:
        device = self.weights.device
        budget = _CPU_BYTES
        if device.type == "cuda":
            budget = int(_GPU_SHARE * torch.cuda.mem_get_info(device)[0])
        size = sum(tensor.numel() for tensor in tensors_of(batch))
        if size not in self._activations:
            self._activations[size] = self._measure(batch)
        copies = _COPIES_STREAMED if self.weights.streamed else _COPIES
        each = copies * 4 * self.weights.count + self._activations[size] + bytes_of(batch)
        return max(1, min(budget // each, self._most or budget))

    def _measure(self, batch: Any) -> int:
        """Return the bytes that the modules of the network give out for one batch."""
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
