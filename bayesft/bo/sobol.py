"""Points spread evenly over the space, before there is anything to learn from."""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesft.bo.space import Space
from bayesft.bo.starts import untried

# How far to look for a row that was not tried yet, in a space of few points.
LOOK_AHEAD = 1024


def sobol_row(space: Space, index: int, taken: Tensor, seed: int) -> list[float]:
    """Return the first row from `index` on of a scrambled Sobol sequence that is new.

    Args:
        space: Says which rows stand for points.
        index: Place in the sequence, from 0.
        taken: n x d rows that were tried already.
        seed: Of the scrambling: one sequence for each seed.

    Returns:
        A row of the space; if `LOOK_AHEAD` rows bring nothing new, the one at `index`.
    """
    engine = SobolEngine(space.width, scramble=True, seed=seed)
    if index:
        engine.fast_forward(index)
    first = None
    for _ in range(LOOK_AHEAD):
        row = space.round_row(engine.draw(1, dtype=torch.float64)[0].tolist())
        if untried(row, taken):
            return row
        first = row if first is None else first
    return first
