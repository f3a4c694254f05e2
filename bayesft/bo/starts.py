"""Where climbs to the best row begin: the best of many rows, which stand for points."""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesft.bo.improvement import LogNoisyImprovement, at_progress
from bayesft.bo.space import Space

# Rows that are scored: over the whole cube, and at each distance from each of the best trials.
EVERYWHERE = 1024
NEAR = 32
BEST = 4
DISTANCES = (0.1, 0.01, 0.001)
RESTARTS = 8
# Rows that differ in one integer or choice: how many of each row's, and how many steps from one
# to the next.
NEIGHBOURS = 64
MOVES = 10

# Two rows closer than this in every column are the same point.
SAME = 1e-6


def starts(
    acquisition: LogNoisyImprovement,
    space: Space,
    observed: Tensor,
    taken: Tensor | None,
    seed: int,
) -> Tensor:
    """Return at most `RESTARTS` x d rows, half of them the best of rows from everywhere.

    The others are near the best trials: the region that improves on a good trial
    shrinks as the search goes on, until no row of the cube falls into it, while
    climbs from there alone would never leave it.

    Integers and choices have no slope to climb. Where there are such, rows are those of points
    that were not tried, and each start has moved to points that differ in one of these as
    long as that helps.

    Args:
        acquisition: What is to be large.
        space: Says which rows stand for points.
        observed: n x d rows of the ended trials.
        taken: Rows of points that are not to be tried again; None if they may be.
        seed: Of the rows from everywhere; the others draw from PyTorch's random state.
    """
    real = torch.tensor(space.real_columns)
    everywhere = SobolEngine(space.width, scramble=True, seed=seed % 2**31).draw(EVERYWHERE)
    everywhere = everywhere.to(observed)
    with torch.no_grad():
        best = observed[_ranked(acquisition, observed)[:BEST]]
        near = torch.cat([_around(best.repeat(NEAR, 1), distance) for distance in DISTANCES])
        if not real.all():
            everywhere = _untried(_points(space, everywhere), taken)
            near = _untried(_points(space, near), taken)
        chosen = []
        for rows in (everywhere, near):
            scores = acquisition(rows.unsqueeze(-2)) if len(rows) else rows[:, 0]
            chosen.append(rows[scores.topk(min(len(rows), RESTARTS // 2)).indices])
        found = torch.cat(chosen)
        return found if real.all() else _moved(acquisition, space, found, taken)


def untried(row: list[float], taken: Tensor) -> bool:
    """Whether a row is, within rounding, none of the n x d rows that were tried."""
    return len(_untried(torch.tensor([row]).to(taken), taken)) > 0


def _ranked(acquisition: LogNoisyImprovement, observed: Tensor) -> Tensor:
    """Return the numbers of the trials, the best that keep to all limits first."""
    inputs = at_progress(observed, acquisition.progress)
    means = acquisition.model.posterior(inputs).mean.squeeze(-1)
    missing = acquisition.missing(inputs)
    # Stable: the first key decides, the second among equals.
    order = means.argsort(descending=True, stable=True)
    return order[missing[order].argsort(stable=True)]


def _around(rows: Tensor, distance: float) -> Tensor:
    """Move about 20 columns at most of each row, by normal steps of one distance."""
    width = rows.shape[-1]
    moved = torch.rand_like(rows) < min(1.0, 20 / width)
    return (rows + distance * torch.randn_like(rows) * moved).clamp(0.0, 1.0)


def _points(space: Space, rows: Tensor) -> Tensor:
    """Return the rows of the nearest points, each once."""
    rounded = dict.fromkeys(tuple(space.round_row(row)) for row in rows.tolist())
    return torch.tensor(list(rounded)).to(rows)


def _untried(rows: Tensor, taken: Tensor | None) -> Tensor:
    """Return the rows that were not tried."""
    if taken is None or not len(taken) or not len(rows):
        return rows
    return rows[torch.cdist(rows, taken, p=torch.inf).amin(dim=1) >= SAME]


def _neighbours(space: Space, rows: Tensor) -> Tensor:
    """Return neighbours of all rows, `NEIGHBOURS` of each at most."""
    found = []
    for row in rows.tolist():
        beside = space.neighbours(row)
        found += [beside[k] for k in torch.randperm(len(beside))[:NEIGHBOURS].tolist()]
    return torch.tensor(found).to(rows)


def _moved(
    acquisition: LogNoisyImprovement, space: Space, rows: Tensor, taken: Tensor | None
) -> Tensor:
    """Move each row to its best neighbour as long as that is better."""
    rows = rows.clone()
    scores = acquisition(rows.unsqueeze(-2)) if len(rows) else rows[:, 0]
    for _ in range(MOVES):
        moved = False
        for number, row in enumerate(rows):
            beside = _untried(_neighbours(space, row[None]), taken)
            if not len(beside):
                continue
            score, place = acquisition(beside.unsqueeze(-2)).max(dim=0)
            if score > scores[number]:
                rows[number], scores[number], moved = beside[place], score, True
        if not moved:
            break
    return rows
