"""Several independent normals of a weight, from the one that a chip has for it."""

from functools import lru_cache

import torch
from torch import Tensor

from bayesft.drift.quantiles import BINS, piece_means

# Of Sobol's points so many dimensions are made, the first for the chip's normal.
MOST = 8


def several(normal: Tensor, count: int) -> Tensor:
    r"""Return `count` normals for each one, independent of each other and of those of others.

    The first is the normal itself. Its distribution function tells in which of 65,536 equally
    likely pieces it lies, and that is the number of a point of Sobol's sequence, whose other
    coordinates are pieces of the others. So a weight draws one of 65,536 points that stand
    for the joint distribution of its normals: means are 0 to 1e-4, variances 1 to 1e-4, and
    correlations below 1e-3, better than random points have them. Beyond that they are not
    (sums of six have a kurtosis of 3.16, of eight 3.31, in place of 3). A drift whose noise has
    several sources is so still a function of one normal for each weight, and a chip the same
    for all drifts.

    Example:
        >>> normal = torch.tensor([-1.0, 0.5])
        >>> several(normal, 3).shape
        torch.Size([3, 2])

    Args:
        normal: float32 standard normals of any shape.
        count: from 1 to `MOST`.

    Returns:
        float32, shape `(count, *normal.shape)`.
    """
    if count == 1:
        return normal[None]
    piece = (torch.special.ndtr(normal) * BINS).long().clamp(0, BINS - 1)
    others = _points(str(normal.device))[: count - 1].index_select(1, piece.flatten())
    return torch.cat([normal[None], others.view(count - 1, *normal.shape)])


@lru_cache(maxsize=16)
def _points(device: str) -> Tensor:
    """Return the other normals of each piece of the first: float32, `(MOST - 1, BINS)`."""
    with torch.inference_mode(False), torch.no_grad():
        engine = torch.quasirandom.SobolEngine(MOST, scramble=False)
        points = engine.draw(BINS, dtype=torch.float64)
        # Among the first 2^16 points each coordinate has each multiple of 2^-16 once.
        pieces = (points * BINS).long().T
        means = piece_means(BINS).float()
        return means[pieces[1:, pieces[0].argsort()]].to(device)
