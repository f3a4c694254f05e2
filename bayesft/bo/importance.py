"""How much the objective depends on each dimension, as sure as the trials make it."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bayesft.bo.hyperposterior import plausible
from bayesft.bo.paths import draw_path
from bayesft.bo.sensitivity import TotalIndices
from bayesft.bo.space import Space
from bayesft.bo.surrogate import FIT_ERRORS, Surrogate

# Functions, each with hyperparameters of its own; of fewer than half of them nothing is said.
PATHS = 128
# Sets of rows for them, and how many rows one has, about: of many dimensions fewer points.
BLOCKS = 16
ROWS = 4096
FEWEST_POINTS, MOST_POINTS = 128, 512


def total_indices(
    surrogate: Surrogate, space: Space, held: Mapping[str, Any], seed: int
) -> dict[str, Tensor]:
    """Return Sobol's total indices of the dimensions, of `PATHS` functions of the posterior.

    Each function is drawn with hyperparameters of its own, so the indices are as uncertain as
    the trials leave both; the kind of the kernel, a warp and a step are taken as they were
    fitted. They are of what the process is fitted to, where a failed trial has the worst value,
    and one far worse than all others is drawn up to them.

    Source: L. Le Gratiet, C. Cannamela, B. Iooss, "A Bayesian approach for global sensitivity
    analysis of (multifidelity) computer codes", SIAM/ASA Journal on Uncertainty Quantification
    2014; here the hyperparameters vary too.

    Args:
        surrogate: fitted.
        space: of its rows.
        held: points' values in dimensions that do not vary, and have no index: the progress of
            a search whose value changes.
        seed: of all that is random.

    Returns:
        For each dimension with something to choose a tensor of at most `PATHS` numbers.

    Raises:
        Exception: one of `FIT_ERRORS`; too few functions could be drawn.
        SurrogateError: the hyperparameters have no density.
    """
    points = ROWS / (2 + len(space.dimensions) - len(held))
    points = 2 ** round(math.log2(min(max(points, FEWEST_POINTS), MOST_POINTS)))
    indices = TotalIndices(space, held=held, blocks=BLOCKS, points=points, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    found, failure = [], None
    for turn, drawn in enumerate(plausible(surrogate, PATHS, generator)):
        try:
            path = draw_path(drawn, indices.rows(turn), generator)
        except FIT_ERRORS as error:
            failure = error
        else:
            # Their size does not matter, and may be too much for a square.
            found.append(indices.of(surrogate.units.unwarped(path)))
    if failure is not None and len(found) < PATHS / 2:
        raise failure
    return dict(zip(indices.names, torch.stack(found, dim=1), strict=True))
