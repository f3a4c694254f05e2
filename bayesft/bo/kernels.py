"""The kernels of the surrogate: radial ones, with priors of what is fitted."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)

# isort: split
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior, MultivariateNormalPrior

# Of the standardised values. They keep the matrix well conditioned when nothing is noisy.
SMALLEST_KERNEL_VARIANCE = 1e-3
SHORTEST_LENGTH_SCALE = 0.025

# Median, as a log, and spread in the log, of the kernel's variance.
VARIANCE = (0.0, 1.0)

# Of the log of a length scale, in a cube of d columns: mean, less log(d)/2, and variance.
# C. Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian Optimization Performs Great in High
# Dimensions", ICML 2024: a model whose length scales grow with d stays simple.
LOG_LENGTH_MEAN = math.sqrt(2)
LOG_LENGTH_VARIANCE = 3.0
# How much of that variance the columns share.
SHARED_VARIANCE = 2.0

Family = Callable[[MultivariateNormalPrior, Tensor], Kernel]
"""A kind of kernel: from the prior of the logs of the columns' length scales, and the length
scales from which a fit begins."""

_Radial = TypeVar("_Radial", MaternKernel, RBFKernel)


def surface(family: Family, columns: int, length: float) -> ScaleKernel:
    """Return s k(X, X) with one length scale for each column, and with its priors.

    The logs of the length scales are normal with mean `LOG_LENGTH_MEAN` + log(d)/2 and variance
    `LOG_LENGTH_VARIANCE`, of which they share `SHARED_VARIANCE`. In Hvarfner et al. they share
    nothing, and the few trials of a search have to say of each column anew how fast the function
    changes; here, what is learnt of one column is expected of the others. A fit maximises the
    density of the logs, whose mode is their median; theirs maximises that of the length scales,
    whose mode is `LOG_LENGTH_VARIANCE` lower in the log. So fits lean to longer length scales
    here, until a column shows a short one.

    Args:
        family: the kind of k.
        columns: d.
        length: where a fit begins, over the mode of Hvarfner et al.'s prior.
    """
    means = torch.full((columns,), LOG_LENGTH_MEAN + math.log(columns) / 2, dtype=torch.float64)
    own = (LOG_LENGTH_VARIANCE - SHARED_VARIANCE) * torch.eye(columns, dtype=torch.float64)
    prior = MultivariateNormalPrior(means, covariance_matrix=own + SHARED_VARIANCE)
    return scaled(family(prior, length * (means - LOG_LENGTH_VARIANCE).exp()))


def matern(prior: MultivariateNormalPrior, start: Tensor) -> MaternKernel:
    """Return the Matern-5/2 kernel, of functions with two derivatives.

    k(r) = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)
    """
    return _with_prior(MaternKernel(nu=2.5, **_length_scales(start)), prior)


def rbf(prior: MultivariateNormalPrior, start: Tensor) -> RBFKernel:
    """Return the RBF kernel, of functions with all derivatives: k(r) = exp(-r^2 / 2)."""
    return _with_prior(RBFKernel(**_length_scales(start)), prior)


def radial(kernel: Kernel, squares: Tensor) -> Tensor:
    """Return k of squared distances r^2 in length scales, of a kernel that is made here."""
    if isinstance(kernel, RBFKernel):
        return torch.exp(-squares / 2)
    # The root has no gradient at 0, where the kernel's is 0.
    r = (5 * squares).clamp_min(1e-15).sqrt()
    return (1 + r + r.square() / 3) * torch.exp(-r)


def frequencies(kernel: Kernel, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` draws of the spectral density of a kernel that is made here, count x d.

    The mean of cos(w (x - x')) over frequencies w is k(x, x') (Bochner's theorem). That of an
    RBF is normal, that of Matern-5/2 Student's t with 5 degrees of freedom.
    """
    normal = torch.randn(count, kernel.ard_num_dims, generator=generator)
    if not isinstance(kernel, RBFKernel):
        squares = torch.randn(count, 5, generator=generator).square().sum(dim=1, keepdim=True)
        normal = normal * (5 / squares).sqrt()
    return normal / kernel.lengthscale.detach()


def scaled(kernel: Kernel, prior: tuple[float, float] = VARIANCE) -> ScaleKernel:
    """Return s k, with a log-normal prior of the variance s."""
    return ScaleKernel(kernel, **variance_settings(prior))


def variance_settings(prior: tuple[float, float] = VARIANCE) -> dict[str, Any]:
    """Return the settings of a kernel's variance; a fit begins at the prior's median."""
    return {
        "outputscale_prior": LogNormalPrior(*prior),
        "outputscale_constraint": logarithmic(SMALLEST_KERNEL_VARIANCE, math.exp(prior[0])),
    }


def logarithmic(smallest: float, start: float | Tensor) -> GreaterThan:
    """Return a constraint under which the excess over `smallest` is fitted as a logarithm.

    Length scales and variances spread over decades: on their own scale the fit takes
    several times as many steps.
    """
    return GreaterThan(smallest, transform=torch.exp, inv_transform=torch.log, initial_value=start)


def _length_scales(start: Tensor) -> dict[str, Any]:
    return {
        "ard_num_dims": len(start),
        "lengthscale_constraint": logarithmic(SHORTEST_LENGTH_SCALE, start),
    }


def _with_prior(kernel: _Radial, prior: MultivariateNormalPrior) -> _Radial:
    kernel.register_prior(
        "log_lengthscale_prior",
        prior,
        lambda kernel: kernel.lengthscale.log(),
        lambda kernel, logs: kernel.initialize(lengthscale=logs.exp()),
    )
    return kernel
