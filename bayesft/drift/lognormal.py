"""Log-normal drift, the paper's model."""

import math

import torch
from torch import Tensor

from bayesft.drift.base import Drift


class LogNormalDrift(Drift):
    r"""Every weight is multiplied by a log-normal factor of its own.

    .. math:: w' = w \exp(\sigma z), \qquad z \sim \mathcal N(0, 1)

    The factor's median is 1 and its mean :math:`\exp(\sigma^2 / 2)`: the drift is
    not mean-preserving, and signs never change. The product is formed in float32
    (float64 for float64 weights) and rounded to the weight's own type once.

    Source: Ye et al., "BayesFT: Bayesian Optimization for Fault Tolerant Neural
    Network Architecture", DAC 2021, arXiv 2210.01795.

    Example:
        >>> weight, normal = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1.0])
        >>> LogNormalDrift()(weight, normal, 0.5)
        tensor([ 1.0000, -3.2974])
    """

    elementwise = True

    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        return (weight * self.factor(normal, sigma)).to(weight.dtype)

    def factor(self, normal: Tensor, sigma: float) -> Tensor:
        return torch.exp(normal * sigma)

    def gain(self, sigma: float) -> float:
        return math.exp(sigma**2 / 2)
