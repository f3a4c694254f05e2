"""Initial weights that are the same whatever norm and dropout a network has."""

import torch
from torch import nn


def he_normal(model: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers anew; biases become 0.

    Zero-mean normals of variance 2 / fan-in, in the order of definition. The norms that
    `norm_layer` makes keep scale 1 and shift 0 and draw nothing, so two networks
    that differ in norm, dropout or activation alone start with the same weights under one
    seed.

    Source: He et al., "Delving Deep into Rectifiers", 2015.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def damp(layer: nn.Conv2d | nn.Linear, *, branches: int) -> None:
    """Scale the initial weights of the last layer of one of so many residual branches.

    By 1/sqrt(branches): the sum over all branches then has the variance of its input,
    and a network without norms trains at any depth. With norms the factor is kept, so that
    they and their absence are compared on the same weights.

    Source: De and Smith, "Batch Normalization Biases Residual Blocks Towards the Identity
    Function in Deep Networks", 2020, which starts branches near 0 to the same end.
    """
    layer.weight.mul_(branches**-0.5)
