"""Where to look next: the row that is expected to improve most."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.improvement import LogNoisyImprovement, at_progress
from bayesft.bo.space import Space
from bayesft.bo.surrogate import Surrogate

# isort: split
from botorch.generation import gen_candidates_scipy

# Rows that are scored before any climb: over the whole cube, and at each distance
# from each of the best trials.
EVERYWHERE = 1024
NEAR = 32
BEST = 4
DISTANCES = (0.1, 0.01, 0.001)
RESTARTS = 8
STEPS = 100

# Two rows closer than this in every column are the same point.
SAME = 1e-6


def suggest(
    surrogate: Surrogate,
    space: Space,
    observed: Tensor,
    pending: Tensor,
    seed: int,
    slacks: Sequence[Surrogate] = (),
    progress: float | None = None,
) -> tuple[list[float], float] | None:
    """Return the row with the largest noisy expected improvement, and that improvement.

    `LogNoisyImprovement` is climbed from the best of many Sobol rows and from the
    best of as many rows near the best trials, half from each: the region that
    improves on a good trial shrinks as the search goes on, until no row of the cube
    falls into it, while climbs from there alone would never leave it. Each end of a
    climb is then snapped to the space, and the best of these rows that was not tried
    yet is taken (where values change with a training's progress it may be tried again).
    In a space without reals the climbs soon end at rows that were tried; there the Sobol rows
    are snapped and compared too.
    Choosing a batch is calling this again with each choice among the
    pending rows.

    Call within `isolated`, which makes it a function of its arguments.

    Args:
        surrogate: Of the values to be maximised.
        space: Says which rows stand for points.
        observed: n x d rows of the ended trials.
        pending: m x d rows of the running trials; m may be 0. With `progress`, rows here
            and in `observed` have it as a further, last column.
        seed: Of everything random.
        slacks: Of each constraint's slack, which is negative where it is not kept to.
        progress: How far a shared training will have come; None if there is none.

    Returns:
        A row and its expected improvement in the values' units (see
        `LogNoisyImprovement.in_units`), or None if all of these rows were tried already.
    """
    acquisition = LogNoisyImprovement(surrogate, pending, seed, slacks, progress)
    if progress is not None:
        observed, pending = observed[:, :-1], pending[:, :-1]
    everywhere = SobolEngine(space.width, scramble=True, seed=seed % 2**31).draw(EVERYWHERE)
    starts = _starts(acquisition, observed, everywhere.to(observed))
    # BoTorch tells of climbs that broke off, whatever the filters say; where one
    # ended is a point, and is scored like any other.
    with warnings.catch_warnings(record=True):
        ends, _ = gen_candidates_scipy(
            starts.unsqueeze(-2), acquisition, 0.0, 1.0, options={"maxiter": STEPS}
        )
    fresh = [space.round_row(end) for end in ends.squeeze(-2).tolist()]
    if space.is_discrete:
        rounded = (tuple(space.round_row(row)) for row in everywhere.tolist())
        fresh += map(list, dict.fromkeys(rounded))
    if progress is None:
        taken = torch.cat([observed, pending])
        fresh = [row for row in fresh if not is_taken(row, taken)]
    if not fresh:
        return None
    with torch.no_grad():
        scores = acquisition(torch.tensor(fresh).to(observed).unsqueeze(-2))
    best = int(scores.argmax())
    return fresh[best], acquisition.in_units(math.exp(float(scores[best])))


def _starts(acquisition: LogNoisyImprovement, observed: Tensor, everywhere: Tensor) -> Tensor:
    """Return the `RESTARTS` x d rows from which to climb."""
    with torch.no_grad():
        inputs = at_progress(observed, acquisition.progress)
        means = acquisition.model.posterior(inputs).mean.squeeze(-1)
        best = observed[means.topk(min(BEST, len(observed))).indices]
        near = torch.cat([_around(best.repeat(NEAR, 1), distance) for distance in DISTANCES])
        chosen = []
        for rows in (everywhere, near):
            scores = acquisition(rows.unsqueeze(-2))
            chosen.append(rows[scores.topk(RESTARTS // 2).indices])
    return torch.cat(chosen)


def _around(rows: Tensor, distance: float) -> Tensor:
    """Move about 20 columns at most of each row, by normal steps of one distance."""
    width = rows.shape[-1]
    moved = torch.rand_like(rows) < min(1.0, 20 / width)
    return (rows + distance * torch.randn_like(rows) * moved).clamp(0.0, 1.0)


def is_taken(row: list[float], taken: Tensor) -> bool:
    """Whether a row is, within rounding, one of the n x d rows that were tried."""
    distances = (taken - torch.tensor(row).to(taken)).abs()
    return bool((distances.amax(dim=-1) < SAME).any())
