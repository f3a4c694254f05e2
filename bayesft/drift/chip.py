"""One chip: the random numbers behind one draw."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bayesft.drift.noise import standard_normals
from bayesft.errors import SettingError


@dataclass(frozen=True)
class Chip:
    """The standard normals of one draw, a function of (seed, index) alone.

    The same chip can be read again for another sigma, another network of the same
    shape, or in another process. The normals of a network are consecutive
    slices of one row, in the order of its drifting parameters, so two networks
    with the same parameters meet the same chip.

    They come from integers alone and a table of quantiles (see `noise`), so that a chip
    is the same on every machine and device, but perhaps for the last bit of a rare number.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> with drifted(net, LogNormalDrift(), 0.6, Chip(seed=3, index=17)):
        ...     y = net(torch.ones(1, 2))  # what draw 17 of `evaluate(..., seed=3)` saw

    Args:
        seed: names a family of chips; 0 or larger.
        index: the chip's number in its family; 0 or larger.

    Raises:
        SettingError: either is negative or not an integer.
    """

    seed: int
    index: int

    def __post_init__(self) -> None:
        # Of thousands nearly all of the time that they take.
        if type(self.seed) is type(self.index) is int and self.seed >= 0 and self.index >= 0:
            return
        for name in ("seed", "index"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
                raise SettingError(
                    f"Expected `{name}` to be an integer, 0 or larger, but got {value!r}. "
                    "It says which chips are drawn."
                )
            # NumPy's are written otherwise, and so would name other chips.
            object.__setattr__(self, name, operator.index(value))

    def normals(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return float32 standard normals, one tensor per weight, of its shape and device."""
        sizes = [weight.numel() for weight in weights.values()]
        [row] = standard_normals(self.seed, [self.index], sum(sizes))
        return {
            name: part.view(weight.shape).to(weight.device)
            for (name, weight), part in zip(weights.items(), row.split(sizes), strict=True)
        }


Draw = tuple[Chip, float]
"""A chip, and how strong the drift is."""
