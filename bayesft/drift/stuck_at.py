"""Stuck-at faults: cells that keep one conductance, whatever is written to them."""

import math
from statistics import NormalDist

import torch
from torch import Tensor

from bayesft.drift.base import Drift, check_sigma
from bayesft.errors import SettingError

_PART = (
    "Of stuck-at faults it is the part of the cells that is stuck; try 0.1, or a list such as "
    "evaluation.sigmas=[0.02,0.05,0.1,0.2]."
)


class StuckAtDrift(Drift):
    r"""A part sigma of the cells is stuck; the others hold their weights exactly.

    A cell that is stuck *off* has no conductance, and its weight is 0. One that is stuck
    *on* has the largest, and its weight is :math:`\pm \max |W|` over its parameter W, the
    largest magnitude that the layer was scaled to; either sign is as likely, as either cell
    of a pair that holds a signed weight can be the one. With q the part of the stuck cells
    that is off, and :math:`\Phi` the distribution function of a normal z,

    .. math:: w' = \begin{cases}
        0 & |z| < \Phi^{-1}\big(\tfrac12 (1 + \sigma q)\big) \\
        \operatorname{sign}(z) \max |W| &
            |z| \ge \Phi^{-1}\big(1 - \tfrac12 \sigma (1 - q)\big) \\
        w & \text{else}
        \end{cases}

    A chip's normals are steps of 1/65,536 of their distribution, and so is the part of the cells:
    from sigma = .005 on it is met within 2 % of itself, from .02 on within a thousandth.

    So sigma is from 0 to 1, and a chip's cells that are stuck at one sigma are stuck at any
    larger one, at the same value. The mean of a drifted weight is :math:`(1 - \sigma) w`.

    Source: in a 4 Mbit chip 9.04 % of the cells were stuck at high resistance and 1.75 % at
    low, the default q (Chen et al., "RRAM Defect Modeling and Failure Analysis Based on March
    Test and a Novel Squeeze-Search Scheme", IEEE Transactions on Computers 2015, as Chen et
    al., DATE 2017, report it, who call high resistance 1 and low resistance 0; others count
    the other way round).

    Example:
        >>> weight, normal = torch.tensor([3.0, -1.0, 2.0]), torch.tensor([0.1, -2.5, 1.0])
        >>> StuckAtDrift()(weight, normal, 0.1)
        tensor([ 0., -3.,  2.])

    Args:
        stuck_off: q, the part of the stuck cells that is stuck off, from 0 to 1.
        target: see `Drift`.

    Raises:
        SettingError: `stuck_off` or `target` cannot be; when it is called, a sigma above 1.
    """

    vectorised = True

    def __init__(self, *, stuck_off: float = 0.838, target: str = "all") -> None:
        super().__init__(target=target)
        number = isinstance(stuck_off, (int, float)) and not isinstance(stuck_off, bool)
        if not number or not 0 <= stuck_off <= 1:
            raise SettingError(
                f"Expected `stuck_off` to be a number from 0 to 1, but got {stuck_off!r}. It is "
                "which part of the stuck cells has no conductance; try drift.stuck_off=0.838."
            )
        self.stuck_off = float(stuck_off)

    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        stuck, level = self.cells(normal, sigma)
        # Of no numbers there is no largest.
        largest = weight.abs().amax() if weight.numel() else 0.0
        return torch.where(stuck, level.to(weight.dtype) * largest, weight)

    def cells(self, normal: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Return which cells are stuck, and at what.

        Args:
            normal: standard normals of any shape.
            sigma: the part of the cells that is stuck.

        Returns:
            A mask, and the levels of the stuck cells: -1, 0 or 1 times the largest
            magnitude; 0 for the others. Both of the shape of `normal`.
        """
        strength, size = self.check(sigma), normal.abs()
        off = size < _beyond(0.5 * (1 - strength * self.stuck_off))
        on = size >= _beyond(0.5 * strength * (1 - self.stuck_off))
        return off | on, torch.where(on, normal.sign(), 0.0)

    def check(self, sigma: float) -> float:
        strength = check_sigma(sigma, _PART)
        if strength > 1:
            raise SettingError(f"Expected `sigma` to be from 0 to 1, but got {sigma!r}. {_PART}")
        return strength

    def gain(self, sigma: float) -> float:
        return 1 - sigma


def _beyond(tail: float) -> float:
    """Return what a standard normal exceeds with probability `tail`, from 0 to 1/2."""
    return -NormalDist().inv_cdf(tail) if tail > 0 else math.inf
