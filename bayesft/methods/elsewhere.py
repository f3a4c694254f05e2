"""A network at other weights than its own, which are never written."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def outputs_at(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *inputs: Any,
    keep_statistics: bool = False,
) -> Any:
    """Return the output of `model` with some of its weights exchanged for this call.

    Gradients reach whatever the weights were computed from. The model's parameters are not
    written, so there is nothing to put back.

    Args:
        model: any network.
        weights: by parameter name, each of the parameter's shape; the others are its own.
        inputs: what it is called with.
        keep_statistics: leave its buffers (BatchNorm's running statistics) as they are.
    """
    buffers = {}
    if keep_statistics:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    if not weights and not buffers:
        return model(*inputs)
    return functional_call(model, {**weights, **buffers}, inputs)


def gradients(loss: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of `loss` for each weight, 0 for one that it does not depend on."""
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if gradient is None else gradient
        for (name, weight), gradient in zip(weights.items(), found, strict=True)
    }
