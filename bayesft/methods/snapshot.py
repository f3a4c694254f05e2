"""The weights of a training that may have to come back."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bayesft.errors import SettingError

Snapshot = dict[str, Any]


def take(module: nn.Module, optimizers: Sequence[Optimizer]) -> Snapshot:
    """Return copies of the weights, the buffers and the optimisers' states."""
    states = [optimizer.state_dict() for optimizer in optimizers]
    return copy.deepcopy({"weights": module.state_dict(), "optimizers": states})


def put_back(snapshot: Snapshot, module: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Load what `take` returned. The learning rates stay what they are: a schedule goes on."""
    module.load_state_dict(snapshot["weights"])
    for optimizer, state in zip(optimizers, snapshot["optimizers"], strict=True):
        rates = [group["lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(copy.deepcopy(state))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters, by name."""
    return {name: each.detach().clone() for name, each in module.named_parameters()}


def check_can_shrink(module: nn.Module, keep: float, *, instead: str) -> None:
    """Raise unless `shrink_towards` may move the weights of a method.

    Args:
        module: a method; one that freezes weights has `freezes_weights = True`.
        keep: as `shrink_towards` is given it.
        instead: the remedy, a sentence.

    Raises:
        SettingError: it freezes weights, and would have them moved.
    """
    if getattr(module, "freezes_weights", False) and keep < 1:
        raise SettingError(
            f"{type(module).__name__} freezes weights, and what starts from trained weights here "
            f"would move them part of the way back to the initial ones. {instead}"
        )


@torch.no_grad()
def shrink_towards(module: nn.Module, initial: Mapping[str, Tensor], keep: float) -> None:
    """Let every parameter w become keep * w + (1 - keep) * its initial value.

    After Ash and Adams, "On Warm-Starting Neural Network Training" (NeurIPS 2020), who
    shrink w and add fresh noise; here it is the initial weights themselves that are added,
    so that nothing is drawn and a pretrained network goes back towards its pretraining.
    """
    for name, parameter in module.named_parameters():
        parameter.lerp_(initial[name].to(parameter), 1 - keep)
