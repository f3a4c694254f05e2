"""From the user's units to those of the Gaussian process, and back."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesft.bo.warp import unwarp, warp


@dataclass(frozen=True)
class Units:
    """value -> z = (value - centre) / scale -> warped by a power -> (t - middle) / spread.

    A power of 1 warps nothing.

    Args:
        centre: what is subtracted from values.
        scale: what they are then divided by.
        power: of the warp, in (0, 2); see `warp.warp`.
        middle: what is subtracted from warped values.
        spread: what they are then divided by.
    """

    centre: float
    scale: float
    power: float = 1.0
    middle: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, values: Tensor, stderrs: Tensor) -> "Units":
        """Return the units in which values have mean 0 and standard deviation 1.

        If they are all equal the scale is the largest known standard error, or else 1.
        """
        largest = values.abs().max().item()
        # No square is then too large or too small for a float; a power of two rounds nothing.
        unit = 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000)
        centre = unit * (values / unit).mean().item()
        scale = unit * (values / unit).std().item() if len(values) > 1 else 0.0
        # Equal values can differ by rounding alone.
        if scale > 1e-12 * max(abs(centre), largest):
            return cls(centre, scale)
        known = stderrs[~stderrs.isnan()]
        largest = known.max().item() if len(known) else 0.0
        return cls(centre, largest or 1.0)

    def standardise(self, values: Tensor) -> Tensor:
        """Return standardised values."""
        z = (values - self.centre) / self.scale
        return z if self.power == 1 else (self._warp(z)[0] - self.middle) / self.spread

    def restore(self, standard: Tensor) -> Tensor:
        """Return the values of standardised ones."""
        return self.centre + self.scale * self.unwarped(standard)

    def unwarped(self, standard: Tensor) -> Tensor:
        """Return the values less `centre`, over `scale`."""
        if self.power == 1:
            return standard
        return unwarp(self.middle + self.spread * standard, self.power)

    def slope(self, standard: Tensor) -> Tensor:
        """Return how much a value changes with its standardised one."""
        if self.power == 1:
            return torch.full_like(standard, self.scale)
        return self.scale * self.spread / self._warp(self.unwarped(standard))[1]

    def summary(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return the median, and half the width of the middle 68 %, of normal beliefs.

        Mean and standard deviation where nothing is warped.
        """
        if self.power == 1:
            return self.restore(mean), self.scale * std
        low, high = self.unwarped(mean - std), self.unwarped(mean + std)
        return self.restore(mean), self.scale * (high - low) / 2

    def _warp(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return warp(z, torch.tensor(self.power).to(z))
