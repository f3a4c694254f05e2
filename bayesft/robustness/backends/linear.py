"""What `auto` takes on a CPU for a small network of linear layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from bayesft.drift import Chip, DriftingWeights
from bayesft.errors import BayesFTError
from bayesft.robustness.backends.base import Backend
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped
from bayesft.robustness.batches import tensors_of
from bayesft.robustness.score import Score, accuracy

# Of larger ones, or with more images in a draw, the products take the time, which is no
# less for many draws at once.
_WEIGHTS = 1 << 21
_IMAGES = 256

# What remembers nothing of a forward pass and draws no random number: a network's own module
# might, and would be left with what cannot be used outside of `vmap`. A class may say so of
# itself, not of those derived from it, by `remembers_nothing = True`.
_ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6,
    nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Tanh,
)  # fmt: skip
_KNOWN = frozenset(
    {nn.Linear, nn.Flatten, nn.Identity, nn.Dropout, nn.AlphaDropout, *_ACTIVATIONS}
    | {nn.Sequential, nn.ModuleList, nn.ModuleDict}
)


class ManyLinear:
    """Scores many draws at once, whose layers are then one batch of matrix products each.

    With many images in a draw, and from where `vmap` fails, one draw after the other.

    Args: see `InPlace`.
    """

    mixes = False

    def __init__(self, model: nn.Module, weights: DriftingWeights, score: Score) -> None:
        self.many: Vmapped | None = Vmapped(model, weights, score)
        self.one_by_one = InPlace(model, weights, score)

    @staticmethod
    def serves(model: nn.Module, weights: DriftingWeights, score: Score) -> bool:
        """Tell whether a network is small, on a CPU, of known layers, and scored by accuracy."""
        return (
            score is accuracy
            and weights.device.type == "cpu"
            and weights.count <= _WEIGHTS
            and not (_global_forward_hooks or _global_forward_pre_hooks)
            and all(map(_is_known, model.modules()))
        )

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[Sequence[float]]
    ) -> Tensor:
        if self._serving(batches[0]) is self.many:
            try:
                # One alone would be multiplied in another way than one of many, and often
                # rounded in another.
                more = 2 if len(chips) == 1 else 1
                scores = self.many([*chips] * more, [*batches] * more, [*sigmas] * more)
                return scores[: len(scores) // more]
            except BayesFTError:
                raise
            except Exception:
                # One by one it comes again if it is not for their being many.
                self.many = None
        return self.one_by_one(chips, batches, sigmas)

    def chunk(self, batch: Any) -> int:
        return self._serving(batch).chunk(batch)

    def _serving(self, batch: Any) -> Backend:
        tensor = next(tensors_of(batch), None)
        few = tensor is not None and tensor.ndim > 0 and len(tensor) <= _IMAGES
        return self.many if few and self.many is not None else self.one_by_one


def _is_known(module: nn.Module) -> bool:
    hooked = module._forward_hooks or module._forward_pre_hooks
    changed = "forward" in vars(module) or getattr(module, "inplace", False)
    exact = all(
        each.dtype in (torch.float32, torch.float64) for each in module.parameters(recurse=False)
    )
    known = type(module) in _KNOWN or vars(type(module)).get("remembers_nothing", False)
    return known and exact and not (hooked or changed)
