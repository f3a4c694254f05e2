"""The kernel of a value that changes while it is searched."""

import math
from typing import Any

from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)

# isort: split
from gpytorch.kernels import Kernel, ScaleKernel

# Medians, as logs, and spreads in the log, of what is fitted along the progress. A trend
# bends several times in a search; how points compare with each other changes slowly.
TREND = (math.log(0.5), 0.4)
TREND_VARIANCE = (math.log(0.1), 1.0)
COMPARISON = (math.log(2.0), 0.7)


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


def trend_of(kernel: ScaleKernel) -> ScaleKernel | None:
    """Return the shared trend's kernel, if there is one."""
    return getattr(kernel, "trend", None)
