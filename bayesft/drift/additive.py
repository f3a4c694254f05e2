"""Additive noise: what is written to a cell is off by an error of the same size for all."""

import torch
from torch import Tensor

from bayesft.drift.base import Drift, check_sigma

_RELATIVE = (
    "It is the standard deviation of what is added to a weight, as a part of the layer's largest "
    "weight; try 0.05, or a list such as evaluation.sigmas=[0.05,0.1,0.2]."
)


class AdditiveDrift(Drift):
    r"""Every weight has a normal error of its own, of the same size in the whole layer.

    .. math:: w' = w + \sigma z \max |W|, \qquad z \sim \mathcal N(0, 1)

    The largest magnitude of a parameter W is what the largest conductance stands for, so sigma
    is the standard deviation of a conductance over the largest one. It is how an error of
    programming or of reading is modelled where only its size is known. Small weights
    suffer most, where log-normal drift spares them, and signs can change. The mean of a
    drifted weight is the weight.

    Source: Joshi et al., "Accurate deep neural network inference using computational
    phase-change memory", Nature Communications 2020, who train with it. The sum is formed
    in float32 (float64 for float64 weights) and rounded to the weight's own type once.

    Example:
        >>> weight, normal = torch.tensor([4.0, -2.0]), torch.tensor([0.5, -1.0])
        >>> AdditiveDrift()(weight, normal, 0.1)
        tensor([ 4.2000, -2.4000])
    """

    vectorised = True

    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        if sigma == 0:
            return weight.clone()
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        # Of no numbers there is no largest.
        largest = wide.abs().amax() if wide.numel() else 0.0
        return (wide + sigma * largest * normal).to(weight.dtype)

    def check(self, sigma: float) -> float:
        return check_sigma(sigma, _RELATIVE)
