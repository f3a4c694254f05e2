"""A step between two groups of values, learnt with the surrogate."""

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)

# isort: split
from gpytorch import Module
from gpytorch.priors import NormalPrior


class Step(Module):
    """By how much the values of a group lie above the others, whatever their rows.

    It is fitted together with the other hyperparameters, in units of the standardised
    values, under the prior N(0, 1). Without it only noise or short length scales could explain
    that the values of networks trained in another way differ.

    Args:
        group: n booleans, which values are of the group.
    """

    def __init__(self, group: Tensor) -> None:
        super().__init__()
        self.register_buffer("group", group)
        self.register_parameter("height", torch.nn.Parameter(torch.zeros(())))
        self.register_prior("height_prior", NormalPrior(0.0, 1.0), "height")

    def forward(self, values: Tensor) -> Tensor:
        """Return n values as if all were of the others' kind."""
        return values - self.height * self.group
