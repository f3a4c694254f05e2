"""Rows for Gaussian processes."""

from torch import Tensor
from torch.quasirandom import SobolEngine


def sobol(n: int, d: int, seed: int = 0) -> Tensor:
    """Return n x d rows of the unit cube, float64, evenly spread."""
    return SobolEngine(d, scramble=True, seed=seed).draw(n).double()
