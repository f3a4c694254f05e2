"""Where to look next: the row that is expected to improve most."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.improvement import LogNoisyImprovement
from bayesft.bo.space import Space
from bayesft.bo.starts import starts, untried
from bayesft.bo.surrogate import Surrogate

# isort: split
from botorch.generation import gen_candidates_scipy

STEPS = 100


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

    `LogNoisyImprovement` is climbed from several rows (see `starts`), by the real numbers alone.
    Each end of a climb is then snapped to the space, and the best of ends and starts that was
    not tried yet is taken (where values change with a training's progress it may be tried
    again).
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
    taken = torch.cat([observed, pending]) if progress is None else None
    begin = starts(acquisition, space, observed, taken, seed)
    found = [*_climbed(acquisition, space, begin).tolist(), *begin.tolist()]
    fresh = [space.round_row(row) for row in found]
    if taken is not None:
        fresh = [row for row in fresh if untried(row, taken)]
    if not fresh:
        return None
    with torch.no_grad():
        scores = acquisition(torch.tensor(fresh).to(observed).unsqueeze(-2))
    best = int(scores.argmax())
    return fresh[best], acquisition.in_units(math.exp(float(scores[best])))


def _climbed(acquisition: LogNoisyImprovement, space: Space, rows: Tensor) -> Tensor:
    """Return where climbs from some rows end."""
    real = torch.tensor(space.real_columns)
    if not real.any() or not len(rows):
        return rows

    def by_reals(X: Tensor) -> Tensor:
        return acquisition(torch.where(real, X, X.detach()))

    climbed = acquisition if real.all() else by_reals
    # BoTorch tells of climbs that broke off, whatever the filters say; where one
    # ended is a point, and is scored like any other.
    with warnings.catch_warnings(record=True):
        ends, _ = gen_candidates_scipy(
            rows.unsqueeze(-2), climbed, 0.0, 1.0, options={"maxiter": STEPS}
        )
    return ends.squeeze(-2)
