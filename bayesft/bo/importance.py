"""How much the objective depends on each dimension, as sure as the trials make it."""

import math

import torch
from torch import Tensor

from bayesft.bo.laplace import plausible
from bayesft.bo.paths import draw_path
from bayesft.bo.sensitivity import TotalIndices
from bayesft.bo.space import Space
from bayesft.bo.surrogate import FIT_ERRORS, Surrogate
from bayesft.bo.trend import trend_of
from bayesft.bo.trial import Trial

# Functions, each with hyperparameters of its own.
PATHS = 128
# Sets of rows for them, and how many rows one has, about: of many dimensions fewer points.
BLOCKS = 16
ROWS = 1024


def total_indices(surrogate: Surrogate, space: Space, best: Trial, seed: int) -> dict[str, Tensor]:
    """Return Sobol's total index of each dimension, of `PATHS` functions of the posterior.

    Each function is drawn with hyperparameters of its own, so the indices are as uncertain as
    the trials leave both. In a search whose value changes, the indices of the dimensions are
    those at the progress of `best`, and the progress has one of the whole search.

    Source: L. Le Gratiet, C. Cannamela, B. Iooss, "A Bayesian approach for global sensitivity
    analysis of (multifidelity) computer codes", SIAM/ASA Journal on Uncertainty Quantification
    2014; here the hyperparameters vary too.

    Args:
        surrogate: fitted.
        space: of its rows; where the value changes the progress is its last dimension.
        best: has the progress.
        seed: of all that is random.

    Raises:
        Exception: one of `FIT_ERRORS`; no function could be drawn.
    """
    names = [name for name, dimension in space.dimensions.items() if dimension.width]
    changing = trend_of(surrogate.gp.covar_module) is not None
    held = {name: best.params[name] for name in names[-1:] if changing}
    names = [name for name in names if name not in held]
    points = 2 ** round(math.log2(max(64, ROWS / (2 + len(names)))))
    asked = [
        TotalIndices(space, varied, held=still, blocks=BLOCKS, points=points, seed=seed)
        for varied, still in ((names, held), (list(held), {}))
        if varied
    ]
    generator = torch.Generator().manual_seed(seed)
    found, failure = [], None
    for turn, drawn in enumerate(plausible(surrogate, PATHS, generator)):
        rows = [each.rows(turn) for each in asked]
        try:
            path = draw_path(drawn, torch.cat(rows), generator)
        except FIT_ERRORS as error:
            failure = error
            continue
        # Their size does not matter, and may be too much for a square.
        parts = surrogate.units.unwarped(path).split([len(each) for each in rows])
        found.append(torch.cat([each.of(p) for each, p in zip(asked, parts, strict=True)]))
    if failure is not None and not found:
        raise failure
    return dict(zip([*names, *held], torch.stack(found, dim=1), strict=True))
