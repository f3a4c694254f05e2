"""How much of a function's variance over a space comes from one dimension: Sobol's total index.

N     points that an index is estimated from
k     dimensions that have one
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesft.bo.space import Space


class TotalIndices:
    r"""The rows at which a function has to be known, and its indices from its values there.

    .. math::
        T_i = E[Var(f(x) | x_j, j \ne i)] / Var(f(x))

    for x uniform in the unit cube: even over each interval, on the scale that it is searched
    on, and each choice as likely as the others. That is the share of the variance that would
    be left if all but dimension i were known, so 0 says that the function does not depend on
    it. The indices of a sum of functions of one dimension each add up to 1, and to more if
    dimensions act together.

    Source: I. M. Sobol, "Global sensitivity indices for nonlinear mathematical models and their
    Monte Carlo estimates", Mathematics and Computers in Simulation 2001; the estimator is that
    of M. J. W. Jansen, "Analysis of variance designs for model output", Computer Physics
    Communications 1999, with Sobol points.

    Args:
        space: of the function's points.
        held: points' values in dimensions that do not vary, and have no index.
        blocks: how many sets of rows there are, to be taken in turn by several functions, so
            that what one set says by luck the others do not.
        points: N, a power of 2, of a set.
        seed: of the Sobol points.

    Attributes:
        names: of the k dimensions, those with something to choose that are not held.
    """

    def __init__(
        self,
        space: Space,
        *,
        held: Mapping[str, Any],
        blocks: int,
        points: int,
        seed: int,
    ) -> None:
        self._blocks, self._points = blocks, points
        engine = SobolEngine(2 * space.width, scramble=True, seed=seed)
        drawn = engine.draw(blocks * points, dtype=torch.float64)
        self._one, self._other = (
            torch.tensor([
                space.encode({**space.decode(row), **held}) for row in half.tolist()
            ], dtype=torch.float64)
            for half in drawn.split(space.width, dim=1)
        )  # fmt: skip
        self.names = tuple(n for n, d in space.dimensions.items() if d.width and n not in held)
        columns = space.columns()
        self._columns = [columns[name] for name in self.names]

    def rows(self, turn: int) -> Tensor:
        """Return the (2 + k) N rows of a function's turn, counted from 0."""
        start = turn % self._blocks * self._points
        one, other = (all_[start : start + self._points] for all_ in (self._one, self._other))
        mixed = []
        for columns in self._columns:
            mixed.append(one.clone())
            mixed[-1][:, columns] = other[:, columns]
        return torch.cat([one, other, *mixed])

    def of(self, values: Tensor) -> Tensor:
        """Return the k indices of a function from its values at `rows`; 0 if it is constant."""
        one, other, *mixed = values.split(self._points)
        variance = torch.cat([one, other]).var(correction=0)
        moved = torch.stack([(one - each).square().mean() / 2 for each in mixed])
        # By its luck an estimate may be above 1.
        shares = (moved / variance).clamp_max(1)
        return torch.where(variance > 0, shares, torch.zeros_like(moved))
