"""What the numbers of a vector can be, where its settings say so: a rate from 0 to below 1."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesft.bo.space import Categorical, Dimension


@dataclass(frozen=True)
class Limits:
    """Numbers from `least` on and below `below`."""

    least: float = -math.inf
    below: float = math.inf

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Limits":
        """Read those that are set.

        Raises:
            TypeError, ValueError: one is no number.
        """
        names = ("least", "below")
        return cls(**{name: float(settings[name]) for name in names if name in settings})

    def outside(self, dimension: Dimension) -> list[float]:
        """Return the ends, or the numbers among the choices, that are not within."""
        numbers = (
            [number for text in dimension.choices for number in _numbers(text)]
            if isinstance(dimension, Categorical)
            else [dimension.low, dimension.high]
        )
        return [number for number in numbers if not self.least <= number < self.below]

    def __str__(self) -> str:
        parts = []
        if self.least > -math.inf:
            parts.append(f"at least {self.least:g}")
        if self.below < math.inf:
            parts.append(f"below {self.below:g}")
        return " and ".join(parts)


def _numbers(choice: str) -> list[float]:
    """Return the numbers of a choice: of a number itself, or of a list of them."""
    found = []
    for part in choice.strip("[]").split(","):
        with contextlib.suppress(ValueError):
            found.append(float(part))
    return found
