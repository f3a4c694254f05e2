"""Functions drawn from a Gaussian process's posterior.

n     trials that it was fitted to
m     rows at which a function is asked for
F     frequencies of the prior's part
"""

import torch
from torch import Tensor

from bayesft.bo.kernels import frequencies
from bayesft.bo.surrogate import Surrogate, marginal
from bayesft.bo.trend import trend_of

# isort: split
from gpytorch.kernels import ScaleKernel

# F. Given its waves the prior's part has a covariance that is off by 1/sqrt(F); over many
# functions, each with waves of its own, by nothing.
FREQUENCIES = 256


def draw_path(surrogate: Surrogate, rows: Tensor, generator: torch.Generator) -> Tensor:
    r"""Return one function of the posterior at m rows, standardised.

    .. math::
        f(x) = m + g(x) + k(x, X) C^{-1} (y - m - g(X) - e)

    with g a function of the prior, of F random waves, C the covariance of the noisy values y
    and e a draw of their noise.

    Source: J. T. Wilson, V. Borovitskiy, A. Terenin, P. Mostowsky, M. P. Deisenroth,
    "Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020, with the waves
    of A. Rahimi, B. Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007. Drawn
    from their joint distribution, m values would take m^3 operations.

    Args:
        surrogate: fitted.
        rows: m x d.
        generator: of all that is random in it.

    Raises:
        torch.linalg.LinAlgError: C is singular to rounding.
    """
    mean, covariance, targets = marginal(surrogate)
    with torch.no_grad():
        kernel, seen = surrogate.gp.covar_module, surrogate.gp.train_inputs[0]
        noise = surrogate.gp.likelihood.noise.sqrt() * torch.randn(len(seen), generator=generator)
        prior = _prior(kernel, torch.cat([seen, rows]), generator)
        factor = torch.linalg.cholesky(covariance)
        missing = (targets - mean - prior[: len(seen)] - noise).unsqueeze(-1)
        weights = torch.cholesky_solve(missing, factor).squeeze(-1)
        return mean[0] + prior[len(seen) :] + kernel(rows, seen).to_dense() @ weights


def _prior(kernel: ScaleKernel, rows: Tensor, generator: torch.Generator) -> Tensor:
    # What float32 rounds away is far below the smallest noise, and it takes half the time.
    angles = (rows @ frequencies(kernel.base_kernel, FREQUENCIES, generator).T).float()
    sizes = torch.randn(2, FREQUENCIES, generator=generator)
    sizes = (sizes * (kernel.outputscale / FREQUENCIES).sqrt()).float()
    values = (angles.cos() @ sizes[0] + angles.sin() @ sizes[1]).double()
    trend = trend_of(kernel)
    return values if trend is None else values + _prior(trend, rows[:, -1:], generator)
