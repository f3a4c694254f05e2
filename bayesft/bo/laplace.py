"""The hyperparameters of a fitted surrogate, as uncertain as the trials leave them.

p     numbers that were fitted: the logs of the length scales, of the kernel's variance and of
      the learnt noise, each over its bound, and the mean
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bayesft.bo.surrogate import SMALLEST_LEARNT_VARIANCE, Surrogate, marginal
from bayesft.bo.trend import trend_of

# Of a curvature of the log posterior. Where the trials and the quadratic say less, a number
# is uncertain by two in the log: about as the priors leave it.
SMALLEST_CURVATURE = 0.25


def plausible(surrogate: Surrogate, count: int, generator: torch.Generator) -> Iterator[Surrogate]:
    """Yield the surrogate with other hyperparameters, drawn from their posterior.

    Laplace's approximation: normal, around the maximum that the fit has found, with the
    curvature that the log marginal likelihood with its priors has there. Noise that is fitted
    to nothing is left at that, and a warp and a step as they are.

    Yields:
        the same surrogate each time, which has its own hyperparameters again in the end.
    """
    parameters = _fitted(surrogate)
    own = torch.cat([parameter.detach().flatten() for parameter in parameters])
    curvatures, directions = torch.linalg.eigh(curvature(surrogate))
    spreads = curvatures.clamp_min(SMALLEST_CURVATURE).rsqrt()
    try:
        for _ in range(count):
            luck = torch.randn(len(own), generator=generator)
            _set(parameters, own + directions @ (spreads * luck))
            yield surrogate
    finally:
        _set(parameters, own)


def curvature(surrogate: Surrogate) -> Tensor:
    """Return the p x p negative Hessian of the log posterior of the hyperparameters."""
    parameters = _fitted(surrogate)
    gradients = torch.autograd.grad(_log_posterior(surrogate), parameters, create_graph=True)
    slopes = torch.cat([gradient.flatten() for gradient in gradients])
    lines = [torch.autograd.grad(slope, parameters, retain_graph=True) for slope in slopes]
    hessian = torch.stack([torch.cat([part.flatten() for part in line]) for line in lines])
    return -(hessian + hessian.T) / 2


def _fitted(surrogate: Surrogate) -> list[nn.Parameter]:
    kernel, likelihood = surrogate.gp.covar_module, surrogate.gp.likelihood
    parameters = [
        kernel.base_kernel.raw_lengthscale,
        kernel.raw_outputscale,
        surrogate.gp.mean_module.raw_constant,
    ]
    if (trend := trend_of(kernel)) is not None:
        parameters += [trend.base_kernel.raw_lengthscale, trend.raw_outputscale]
    if likelihood.second_noise.item() > 1.1 * SMALLEST_LEARNT_VARIANCE:
        parameters.append(likelihood.second_noise_covar.raw_noise)
    return parameters


def _set(parameters: list[nn.Parameter], numbers: Tensor) -> None:
    with torch.no_grad():
        parts = numbers.split([parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.copy_(part.view_as(parameter))


def _log_posterior(surrogate: Surrogate) -> Tensor:
    """Return the log marginal likelihood plus the log priors, up to a constant."""
    mean, covariance, targets = marginal(surrogate)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, (targets - mean).unsqueeze(-1), upper=False)
    total = -whitened.square().sum() / 2 - factor.diagonal().log().sum()
    for _, module, prior, closure, _ in surrogate.gp.named_priors():
        total = total + prior.log_prob(closure(module)).sum()
    return total
