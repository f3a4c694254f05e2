"""The surrogate: a Gaussian process over the unit cube.

n        number of trials
d        columns of a row
rows     n x d, float64, in [0, 1]
values   n, in the user's units
stderrs  n, in the user's units, nan if unknown
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.errors import SurrogateError
from bayesft.bo.kernels import Family, logarithmic, matern, rbf, surface
from bayesft.bo.likelihood import loss_and_gradient
from bayesft.bo.step import Step
from bayesft.bo.trend import trended
from bayesft.bo.units import Units
from bayesft.bo.warp import Warp, warp

# isort: split
from botorch.exceptions.errors import BotorchError, ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior
from gpytorch.settings import min_fixed_noise
from linear_operator.utils.errors import NanError, NotPSDError

# Of the standardised values. Together they keep the matrix well conditioned when
# nothing is noisy; they also limit how close to an optimum such a search comes.
SMALLEST_KNOWN_VARIANCE = 1e-9
SMALLEST_LEARNT_VARIANCE = 1e-8

# Learnt variance above which the kernel may be smooth: with less noise its matrix, near to
# singular, limits how close to an optimum a search comes.
NOISY = 1e-3

# Of fewer values, or fewer for each column, nothing is said of their scale.
WARPABLE = 6
WARPABLE_PER_COLUMN = 2

# Learnt variance, and length scale over the mode of the paper's prior, where the fits begin: the
# likelihood can have one maximum that explains the values and one that calls them noise.
STARTS = ((0.01, 1.0), (0.3, 4.0))

FIT_ERRORS = (ModelFittingError, BotorchError, NotPSDError, NanError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Surrogate:
    """A fitted Gaussian process and the units of its values.

    Args:
        gp: BoTorch's model of the standardised values.
        units: From the values to the standardised ones, and back.
        step: By how much the values of trials that are `apart` (see `fit`) lie above the
            others, of which the process is, in the values' units.
    """

    gp: SingleTaskGP
    units: Units
    step: float = 0.0


def fit(
    rows: Tensor,
    values: Tensor,
    stderrs: Tensor,
    *,
    changing: bool = False,
    warpable: bool = False,
    apart: Tensor | None = None,
) -> Surrogate:
    """Fit a Gaussian process to the trials.

    Kernel: Matern-5/2 with one length scale for each column, under the prior of
    `kernels.surface`: that of Hvarfner, Hellsten, Nardi, "Vanilla Bayesian
    Optimization Performs Great in High Dimensions", ICML 2024, but shared in part. The
    kernel there is a choice of RBF or Matern of variance 1; here its variance is learnt
    under LogNormal(0, 1), because the trials of a search crowd where values are good:
    their own spread says little of the function's. Where no noise is reported and some is
    learnt, the kernel is an RBF if that has the higher likelihood: a rough function and
    noise explain the same values, and a smooth one is told from noise with fewer of them.

    Noise: stderr^2, known, for each trial, plus one learnt variance for all of
    them with the prior Gamma(1.1, 10), because a standard error tells how well a
    trained network was measured and not how much another training with the same
    rates would differ. The paper's LogNormal(-4, 1) sees noise in functions that have
    none, which keeps the search from closing in on their optimum.
    A trial without a standard error gets the median of the known ones; if none is
    known, all noise is learnt.

    If values change while they are searched, the last column is how far the search has
    come; see `trend.TrendedKernel`.

    The values are standardised first and the standard errors with them, so the
    units of the values do not matter. If they are `warpable`, their scale is warped by a
    power that is learnt with the rest, where the values say that this makes the function
    simpler: scores crowd at their top, and losses have long tails.

    Args:
        rows: n x d, float64, in [0, 1]; n at least 1.
        values: n, finite.
        stderrs: n, at least 0, or nan where unknown.
        changing: Whether the last column is the progress of a changing value.
        warpable: Whether the scale of the values may be warped; that of few values is not.
        apart: n booleans: trials measured in another way than the others, so that their
            values may all lie higher, or lower, by a step that is learnt with the rest.

    Raises:
        SurrogateError: The marginal likelihood could not be maximised.
    """
    units = Units.of(values, stderrs)
    targets = units.standardise(values)
    known = ~stderrs.isnan()
    typical = stderrs[known].median() if known.any() else torch.zeros((), dtype=stderrs.dtype)
    variances = (torch.where(known, stderrs, typical) / units.scale).square()
    enough = max(WARPABLE, WARPABLE_PER_COLUMN * rows.shape[-1])
    # Equal values have a standard deviation of 0, all others of 1.
    warpable = warpable and len(targets) >= enough and targets.std().item() > 0.5

    build = partial(_model, rows, targets, variances, changing=changing, apart=apart)
    try:
        try:
            found = _likeliest(partial(build, matern, warpable=warpable))
        except FIT_ERRORS:
            # A function that is simple to the last digit can be hard to warp.
            if not warpable:
                raise
            warpable = False
            found = _likeliest(partial(build, matern, warpable=False))
    except FIT_ERRORS as error:
        raise SurrogateError(
            f"The Gaussian process could not be fitted to {len(values)} trials: {error}"
        ) from error
    if not (changing or known.any()) and found.gp.likelihood.second_noise.item() > NOISY:
        with contextlib.suppress(*FIT_ERRORS):
            smooth = _likeliest(partial(build, rbf, warpable=warpable))
            found = max(found, smooth, key=attrgetter("likelihood"))
    step = 0.0
    if apart is not None:
        step = _levelled(found.gp, units)
    if warpable:
        units = _warped(found.gp, units)
    return Surrogate(found.gp.eval(), units, step)


class _Fit(NamedTuple):
    likelihood: float
    gp: SingleTaskGP


def _likeliest(build: Callable[[tuple[float, float]], SingleTaskGP]) -> _Fit:
    """Fit what `build` returns for each of `STARTS`; return the most likely.

    Raises:
        Exception: One of `FIT_ERRORS`; all of them failed.
    """
    fits, failure = [], None
    for start in STARTS:
        gp = build(start)
        mll = ExactMarginalLogLikelihood(gp.likelihood, gp)
        try:
            closure = loss_and_gradient(mll)
            fit_gpytorch_mll(mll, closure=closure)
            fits.append(_Fit(-closure()[0].item(), gp))
        except FIT_ERRORS as error:
            failure = error
    if failure is not None and not fits:
        raise failure
    return max(fits, key=attrgetter("likelihood"))


def _levelled(gp: SingleTaskGP, units: Units) -> float:
    """Let the model see values without the step from now on; return it in their units."""
    height = gp.step.height.item()
    with torch.no_grad():
        gp.set_train_data(targets=gp.step(gp.train_targets), strict=False)
    del gp.step
    return units.scale * height


def _warped(gp: SingleTaskGP, units: Units) -> Units:
    """Let the model see warped values from now on; return their units."""
    z = gp.train_targets
    power = gp.warp.power.detach()
    warped = warp(z, power)[0]
    with torch.no_grad():
        targets, slope = gp.warp(z)
    gp.set_train_data(targets=targets, strict=False)
    noise = gp.likelihood.noise_covar
    noise.noise = noise.noise * slope.square()
    del gp.warp
    return replace(
        units, power=power.item(), middle=warped.mean().item(), spread=warped.std().item()
    )


def _model(
    rows: Tensor,
    targets: Tensor,
    variances: Tensor,
    family: Family,
    start: tuple[float, float],
    *,
    changing: bool,
    warpable: bool,
    apart: Tensor | None,
) -> SingleTaskGP:
    """Return the model before it is fitted.

    `start` is the learnt variance and the length scale, as in `STARTS`, from which the fit
    begins.
    """
    columns = rows.shape[-1] - changing
    learnt, length = start
    # GPyTorch's own limit is a thousand times higher.
    with min_fixed_noise(double_value=SMALLEST_KNOWN_VARIANCE):
        likelihood = FixedNoiseGaussianLikelihood(
            variances.clamp_min(SMALLEST_KNOWN_VARIANCE),
            learn_additional_noise=True,
            noise_prior=GammaPrior(1.1, 10.0),
            noise_constraint=logarithmic(SMALLEST_LEARNT_VARIANCE, learnt),
        )
    gp = SingleTaskGP(
        rows,
        targets.unsqueeze(-1),
        likelihood=likelihood,
        covar_module=(trended if changing else surface)(family, columns, length),
        outcome_transform=None,
    )
    if warpable:
        gp.warp = Warp()
    if apart is not None:
        gp.step = Step(apart)
    return gp


def posterior(surrogate: Surrogate, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return median and standard deviation of the noiseless value at m rows.

    Args:
        surrogate: What `fit` returned.
        rows: m x d, float64, in [0, 1].

    Returns:
        Two tensors of m numbers, in the units of the values; see `Units.summary`.
    """
    with torch.no_grad():
        belief = surrogate.gp.posterior(rows)
        mean, variance = belief.mean.squeeze(-1), belief.variance.squeeze(-1)
    return surrogate.units.summary(mean, variance.sqrt())


def marginal(surrogate: Surrogate) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and covariance of the noisy standardised values, and these values."""
    gp = surrogate.gp
    [rows] = gp.train_inputs
    with torch.no_grad():
        belief = gp.likelihood(gp.forward(rows), [rows])
        return belief.mean, belief.covariance_matrix, gp.train_targets
