"""The hyperparameters of a surrogate, as uncertain as the trials leave them.

p       numbers that were fitted: what length scales, variances and the learnt noise have over
        their bounds, as logarithms, and the mean
theta   these numbers, in one row
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from bayesft.bo.errors import SurrogateError
from bayesft.bo.kernels import SHORTEST_LENGTH_SCALE
from bayesft.bo.likelihood import loss_and_gradient
from bayesft.bo.surrogate import FIT_ERRORS, Surrogate

# isort: split
from gpytorch.mlls import ExactMarginalLogLikelihood

# Of a draw: at most so many leapfrog steps, any number being as likely, for a fixed one may
# come back to where it began; and how long one is at first, where the density is as curved as
# at its top.
MOST_STEPS, LENGTH = 8, 0.4
# Draws in which the length is tuned, to so many that are accepted; nobody sees them.
TUNING, ACCEPTED = 24, 0.8
# Along a direction in which the log density is flat, or bends upwards, steps are as if it had
# this curvature: as long as for a spread of three.
SMALLEST_CURVATURE = 0.1

# Between theta whose gradients are compared.
_DIFFERENCE = 1e-4


def plausible(surrogate: Surrogate, count: int, generator: torch.Generator) -> Iterator[Surrogate]:
    """Yield the surrogate with other hyperparameters, drawn from their posterior.

    By Hamiltonian Monte Carlo from the top of the density, in the coordinates in which it is as
    curved in all directions there. The kind of the kernel, a warp and a step are left as they
    are.

    Source: R. M. Neal, "MCMC using Hamiltonian dynamics", Handbook of Markov Chain Monte Carlo
    2011.

    Yields:
        the same surrogate each time, which has its own hyperparameters again in the end.

    Raises:
        SurrogateError: the density has no value where the fit ended.
    """
    density = LogDensity(surrogate)
    own = density.theta()
    if density(own)[0] == -math.inf:
        raise SurrogateError("The fitted hyperparameters have no density to draw others from.")
    try:
        for theta in _chain(density, count, generator):
            density.set(theta)
            yield surrogate
    finally:
        density.set(own)


class LogDensity:
    """The log posterior density of theta, up to a constant.

    That of the marginal likelihood and the priors, as in the fit, times what a change of a
    logarithm changes in a number that has a prior itself: a fit maximises the density of
    variances, these draws are of their logarithms. For length scales the prior is of the
    logarithm.

    Args:
        surrogate: fitted. It has the theta that was last set or asked for.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        gp = surrogate.gp
        mll = ExactMarginalLogLikelihood(gp.likelihood, gp)
        self._count = len(gp.train_targets)
        self._loss = loss_and_gradient(mll)
        self._parameters: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in mll.named_parameters() if parameter.requires_grad
        }

    def theta(self) -> Tensor:
        """Return the theta that the surrogate has."""
        return torch.cat([p.detach().flatten() for p in self._parameters.values()])

    def set(self, theta: Tensor) -> None:
        """Give the surrogate another theta."""
        sizes = [parameter.numel() for parameter in self._parameters.values()]
        with torch.no_grad():
            for parameter, part in zip(self._parameters.values(), theta.split(sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    def __call__(self, theta: Tensor) -> tuple[float, Tensor]:
        """Return the log density and its gradient; -inf and nan where the numerics break down."""
        self.set(theta)
        try:
            loss, gradients = self._loss()
        except FIT_ERRORS:
            return -math.inf, torch.full_like(theta, math.nan)
        value, parts = -self._count * loss.item(), []
        for (name, parameter), gradient in zip(self._parameters.items(), gradients, strict=True):
            size, slope = _change(name, parameter.detach())
            value += size.sum().item()
            parts.append((slope - self._count * gradient).flatten())
        return (value if math.isfinite(value) else -math.inf), torch.cat(parts)


def _change(name: str, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log of how a number that has a prior changes with theta, and its derivative."""
    if name.endswith("raw_constant"):
        return torch.zeros_like(raw), torch.zeros_like(raw)
    if not name.endswith("raw_lengthscale"):
        return raw, torch.ones_like(raw)
    # Of the log of a length scale l = exp(raw) + bound: exp(raw) / l.
    share = torch.sigmoid(raw - math.log(SHORTEST_LENGTH_SCALE))
    return share.log(), 1 - share


def _chain(density: LogDensity, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `count` theta, after some in which the length of a step is tuned."""
    theta = _top(density)
    axes = _axes(density, theta)
    value, gradient = density(theta)
    length, lengths = LENGTH, []
    for number in range(TUNING + count):
        momentum = torch.randn(len(theta), generator=generator)
        energy = momentum.square().sum().item() / 2 - value
        step = length * (0.8 + 0.4 * torch.rand((), generator=generator).item())
        luck = torch.rand((), generator=generator).item()
        steps = int(torch.randint(1, MOST_STEPS + 1, (), generator=generator))
        there, momentum, higher, slope = _trajectory(
            density, axes, (theta, momentum, value, gradient), step, steps
        )
        gain = energy - momentum.square().sum().item() / 2 + higher
        chance = math.exp(min(0.0, gain)) if math.isfinite(gain) else 0.0
        if luck < chance:
            theta, value, gradient = there, higher, slope
        if number < TUNING:
            length *= math.exp(0.5 * (chance - ACCEPTED))
            lengths.append(math.log(length))
            if number == TUNING - 1:
                # The last one is as much luck as it is tuned.
                length = math.exp(sum(lengths[TUNING // 3 :]) / len(lengths[TUNING // 3 :]))
        else:
            yield theta


def _trajectory(
    density: LogDensity,
    axes: Tensor,
    start: tuple[Tensor, Tensor, float, Tensor],
    step: float,
    steps: int,
) -> tuple[Tensor, Tensor, float, Tensor]:
    """Return where leapfrog steps lead: theta, momentum, log density and gradient there.

    Backwards they lead to the start again. It ends where the numerics break down.
    """
    theta, momentum, value, slope = start
    for _ in range(steps):
        momentum = momentum + step / 2 * (axes.T @ slope)
        theta = theta + step * (axes @ momentum)
        value, slope = density(theta)
        if value == -math.inf:
            break
        momentum = momentum + step / 2 * (axes.T @ slope)
    return theta, momentum, value, slope


def _top(density: LogDensity) -> Tensor:
    """Return the theta of the highest density near to the surrogate's own."""
    own = density.theta()
    # In place of minus infinity, which a line search cannot use.
    worst = density(own)[0] - 1e6

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = density(torch.from_numpy(point))
        if value < worst:
            return -worst, np.zeros_like(point)
        return -value, -slope.numpy()

    found = minimize(loss, own.numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 50})
    top = torch.from_numpy(np.asarray(found.x, dtype=float))
    return top if density(top)[0] > worst else own


def _axes(density: LogDensity, theta: Tensor) -> Tensor:
    """Return p x p directions, each as long as the density's spread along it."""
    shifts = _DIFFERENCE * torch.eye(len(theta))
    slopes = [density(theta - each)[1] - density(theta + each)[1] for each in shifts]
    curvature = torch.stack(slopes) / (2 * _DIFFERENCE)
    curvatures, directions = torch.linalg.eigh((curvature + curvature.T) / 2)
    return directions * curvatures.clamp_min(SMALLEST_CURVATURE).rsqrt()
