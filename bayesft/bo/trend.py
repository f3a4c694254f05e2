"""The kernel of a value that changes while it is searched."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.kernels import (
    LOG_LENGTH_MEAN,
    LOG_LENGTH_VARIANCE,
    Family,
    scaled,
    variance_settings,
)

# isort: split
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.priors import MultivariateNormalPrior

# Medians, as logs, and spreads in the log, of what is fitted along the progress. A trend
# bends several times in a search; how points compare with each other changes slowly.
TREND = (math.log(0.43), 0.4)
TREND_VARIANCE = (math.log(0.1), 1.0)
COMPARISON = (math.log(1.23), 0.7)


class TrendedKernel(ScaleKernel):
    """What the points are worth, plus a trend that they share.

        k((x, t), (x', t')) = s k_c((x, t), (x', t')) + s' k_t(t, t')

    t is the last column of a row. The first part is the kernel of a search whose value does
    not change, with t as one more input: how x and x' compare is remembered for
    about a length scale of t. The second moves all points up and down together, as a
    network that trains gets better whatever its rates are. Without it only the first could
    explain that rise, by a short length scale of t, and would forget what it learnt of x.

    Args:
        base_kernel: k_c, of all columns.
        trend: s' k_t, of the last column.
        settings: those of `ScaleKernel`, for s.
    """

    def __init__(self, base_kernel: Kernel, trend: ScaleKernel, **settings: Any) -> None:
        super().__init__(base_kernel, **settings)
        self.trend = trend

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        surface = super().forward(x1, x2, diag=diag, **params)
        return surface + self.trend.forward(x1[..., -1:], x2[..., -1:], diag=diag, **params)


def trended(family: Family, columns: int, length: float) -> TrendedKernel:
    """Return the kernel of `columns` columns and the progress, with its priors.

    The prior of the columns' length scales is that of Hvarfner et al. itself, independent and
    with its mode at short ones (see `kernels.surface`): beside a trend that is much larger than
    what the points differ by, length scales that share a prior fit points that do not differ.

    Args:
        family: the kind of k_c and of k_t.
        columns: of the cube, without the progress.
        length: where the fit of k_c begins, over the prior's medians.
    """
    leaning = (
        LOG_LENGTH_MEAN + math.log(columns) / 2 - LOG_LENGTH_VARIANCE,
        math.sqrt(LOG_LENGTH_VARIANCE),
    )
    prior, along = _independent([*[leaning] * columns, COMPARISON]), _independent([TREND])
    trend = scaled(family(along, along.loc.exp()), TREND_VARIANCE)
    return TrendedKernel(family(prior, length * prior.loc.exp()), trend, **variance_settings())


def trend_of(kernel: ScaleKernel) -> ScaleKernel | None:
    """Return the shared trend's kernel, if there is one."""
    return getattr(kernel, "trend", None)


def _independent(logs: Sequence[tuple[float, float]]) -> MultivariateNormalPrior:
    means, spreads = torch.tensor(logs, dtype=torch.float64).T
    return MultivariateNormalPrior(means, covariance_matrix=spreads.square().diag())
