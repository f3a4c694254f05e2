"""The marginal likelihood of the surrogate and its gradient, in few steps.

The matrices are small, and what a fit costs is the number of calls into torch:
GPyTorch's own path, made for large ones, takes about eight times as long.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.kernels import radial
from bayesft.bo.trend import trend_of

# isort: split
from gpytorch.kernels import ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood


def loss_and_gradient(
    mll: ExactMarginalLogLikelihood,
) -> Callable[[], tuple[Tensor, Sequence[Tensor]]]:
    """Return what computes -mll, as GPyTorch defines it, and its gradient.

    If the model has a `warp` of its targets, the likelihood is that of the targets before
    it: the logarithms of its slopes are added, and known variances are warped with the targets.
    If it has a `step`, the targets are first levelled by it.

    mll = (log N(y; m, s k(X, X) + diag(v + w)) + log priors) / n, with a kernel k of
    `kernels`, known variances v and learnt w.

    Args:
        mll: Of a model with a constant mean, a `ScaleKernel` of one of `kernels` or a
            `TrendedKernel` of two such, and a `FixedNoiseGaussianLikelihood` that learns noise.
    """
    model, likelihood = mll.model, mll.likelihood
    [rows], targets = model.train_inputs, model.train_targets
    count = len(rows)
    squares = (rows.unsqueeze(1) - rows.unsqueeze(0)).square()
    known = likelihood.noise_covar.noise
    kernel = model.covar_module
    trend = trend_of(kernel)
    step, warped = getattr(model, "step", None), getattr(model, "warp", None)
    parameters = [p for p in mll.parameters() if p.requires_grad]

    def closure() -> tuple[Tensor, Sequence[Tensor]]:
        gram = _gram(kernel, squares)
        if trend is not None:
            gram = gram + _gram(trend, squares[..., -1:])
        level = targets if step is None else step(targets)
        seen, slopes = (level, None) if warped is None else warped(level)
        noise = known if slopes is None else known * slopes.square()
        root = torch.linalg.cholesky(gram + torch.diag(noise + likelihood.second_noise))
        miss = (seen - model.mean_module.constant).unsqueeze(-1)
        whitened = torch.linalg.solve_triangular(root, miss, upper=False)
        total = -(whitened.square().sum() + count * math.log(2 * math.pi)) / 2
        total = total - root.diagonal().log().sum()
        if slopes is not None:
            total = total + slopes.log().sum()
        for _, module, prior, value, _ in model.named_priors():
            total = total + prior.log_prob(value(module)).sum()
        loss = -total / count
        return loss, torch.autograd.grad(loss, parameters)

    return closure


def _gram(kernel: ScaleKernel, squares: Tensor) -> Tensor:
    """Return s k(X, X) from the n x n x d squared distances in each column."""
    distances = squares @ kernel.base_kernel.lengthscale.squeeze(0).reciprocal().square()
    return kernel.outputscale * radial(kernel.base_kernel, distances)
