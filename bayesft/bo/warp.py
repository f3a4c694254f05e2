"""A warp of the values' scale, learnt with the surrogate.

z   standardised values
t   warped ones: what the Gaussian process sees
"""

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)

# isort: split
from gpytorch import Module
from gpytorch.priors import NormalPrior

# The power stays within 1 -+ this: from there on one side of the scale ends.
LARGEST_WARP = 0.95
# Of the prior of what is fitted, atanh((power - 1) / LARGEST_WARP).
SPREAD = 0.6


def warp(z: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return t and dt/dz of the Yeo-Johnson transformation.

    .. math::
        t = ((1 + z)^p - 1) / p \;(z \ge 0), \quad
        t = -((1 - z)^{2 - p} - 1) / (2 - p) \;(z < 0)

    A power below 1 draws the high values together and spreads the low ones; above 1 the
    other way round; 1 leaves all as it is.

    Source: I.-K. Yeo, R. A. Johnson, "A new family of power transformations to improve
    normality or symmetry", Biometrika 2000.

    Args:
        z: of any shape.
        power: a number, in (0, 2).
    """
    up = z >= 0
    exponent = torch.where(up, power, 2 - power)
    log = torch.log1p(z.abs())
    size = torch.expm1(exponent * log) / exponent
    return torch.where(up, size, -size), torch.exp((exponent - 1) * log)


def unwarp(t: Tensor, power: float) -> Tensor:
    """Return the z that `warp` turns into t."""
    exponent = torch.where(t >= 0, power, 2 - power)
    size = torch.expm1(torch.log1p(exponent * t.abs()) / exponent)
    return torch.where(t >= 0, size, -size)


class Warp(Module):
    """A power that is fitted together with the other hyperparameters.

    Source: E. Snelson, C. E. Rasmussen, Z. Ghahramani, "Warped Gaussian Processes",
    NeurIPS 2003, with the transformation above in place of their sums of tanh.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("raw_power", torch.nn.Parameter(torch.zeros(())))
        self.register_prior("power_prior", NormalPrior(0.0, SPREAD), "raw_power")

    @property
    def power(self) -> Tensor:
        return 1 + LARGEST_WARP * torch.tanh(self.raw_power)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `warp` does, standardised anew, and its slope."""
        t, slope = warp(z, self.power)
        spread = t.std()
        return (t - t.mean()) / spread, slope / spread
