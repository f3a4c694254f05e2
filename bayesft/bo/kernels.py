"""The kernels of the surrogate: radial ones, with priors of what is fitted."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)

# isort: split
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior

# Of the standardised values. They keep the matrix well conditioned when nothing is noisy.
SMALLEST_KERNEL_VARIANCE = 1e-3
SHORTEST_LENGTH_SCALE = 0.025

# Median, as a log, and spread in the log, of the kernel's variance.
VARIANCE = (0.0, 1.0)

Family = Callable[[Sequence[tuple[float, float]], float], Kernel]
"""A kind of kernel: from a log-normal prior, (mu, sigma), of each column's length scale, and the
length, in units of the priors' modes, from which a fit begins."""


def matern(priors: Sequence[tuple[float, float]], length: float) -> MaternKernel:
    """Return the Matern-5/2 kernel, of functions with two derivatives.

    k(r) = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)
    """
    return MaternKernel(nu=2.5, **_length_scales(priors, length))


def rbf(priors: Sequence[tuple[float, float]], length: float) -> RBFKernel:
    """Return the RBF kernel, of functions with all derivatives: k(r) = exp(-r^2 / 2)."""
    return RBFKernel(**_length_scales(priors, length))


def radial(kernel: Kernel, squares: Tensor) -> Tensor:
    """Return k of squared distances r^2 in length scales, of a kernel that is made here."""
    if isinstance(kernel, RBFKernel):
        return torch.exp(-squares / 2)
    # The root has no gradient at 0, where the kernel's is 0.
    r = (5 * squares).clamp_min(1e-15).sqrt()
    return (1 + r + r.square() / 3) * torch.exp(-r)


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


def _length_scales(priors: Sequence[tuple[float, float]], length: float) -> dict[str, Any]:
    mu, sigma = torch.tensor(priors, dtype=torch.float64).T
    prior = LogNormalPrior(mu, sigma)
    return {
        "ard_num_dims": len(priors),
        "lengthscale_prior": prior,
        "lengthscale_constraint": logarithmic(SHORTEST_LENGTH_SCALE, length * prior.mode),
    }
