"""From a fitted Gaussian process to what it says about the dimensions.

n     number of trials that it was fitted to
d     columns of a row
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bayesft.bo.dimension import Categorical, Dimension, Integer
from bayesft.bo.errors import InsightError, SurrogateError
from bayesft.bo.insight import Calibration, Influence, Insight, Slice
from bayesft.bo.kernels import SHORTEST_LENGTH_SCALE
from bayesft.bo.space import Space
from bayesft.bo.surrogate import (
    FIT_ERRORS,
    SMALLEST_LEARNT_VARIANCE,
    Surrogate,
    length_scales,
    posterior,
)
from bayesft.bo.trend import trend_of
from bayesft.bo.trial import Trial

# Values on a slice of a dimension that has more.
POINTS = 33


def explain(
    surrogate: Surrogate, space: Space, trials: Sequence[Trial], best: Trial, *, sign: float
) -> Insight:
    """Say what the Gaussian process has learnt.

    Args:
        surrogate: fitted to the trials times `sign`; its state is used up, so give a copy.
        space: of its rows.
        trials: in the order of its rows. The failed ones take part in every
            prediction with the value that they were given, and are not predicted.
        best: the trial that the slices run through.
        sign: -1 if the value is minimised, else 1.

    Raises:
        InsightError: the finished trials all have the same value.
        SurrogateError: the numerics broke down.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    values = [trial.value for trial in finished]
    if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        raise InsightError(f"all {len(values)} finished trials have the same value, {values[0]:g}")
    try:
        covariance = log_length_scale_covariance(surrogate)
        means, sds, residuals = leave_one_out(surrogate)
        influences = _influences(surrogate, space, best, covariance, sign)
    except FIT_ERRORS as error:
        raise SurrogateError(f"The Gaussian process could not be read: {error}") from error
    kept = [index for index, trial in enumerate(trials) if trial.state == "finished"]
    means = means[kept] + surrogate.step * torch.tensor([t.is_from_scratch for t in finished])
    calibration = Calibration(
        observed=tuple(values),
        predicted=tuple((sign * means).tolist()),
        sds=tuple(sds[kept].tolist()),
        residuals=tuple((sign * residuals[kept]).tolist()),
    )
    # A length scale for each column, the kernel's variance, the noise, the mean, the warp, the
    # step; a trend has a length scale and a variance of its own.
    changing = trend_of(surrogate.gp.covar_module) is not None
    learnt = (surrogate.units.power != 1) + (surrogate.step != 0)
    parameters = space.width + 3 + learnt + 2 * changing
    return Insight(
        influences,
        calibration,
        tuple(finished),
        best,
        parameters=parameters,
        step=sign * surrogate.step,
    )


def leave_one_out(surrogate: Surrogate) -> tuple[Tensor, Tensor, Tensor]:
    """Return median and standard deviation of each trial's value given all other trials.

    In closed form, with the hyperparameters as they are (Rasmussen and Williams,
    "Gaussian Processes for Machine Learning", eq. 5.12): with C the covariance of
    the noisy values y of mean m, the mean is y_i - [C^-1 (y - m)]_i / [C^-1]_ii and
    the variance 1 / [C^-1]_ii. The variance holds the trial's own noise, known
    and learnt, as the observation does.

    Returns:
        Two tensors of n numbers, in the units of the values that were fitted (see
        `Units.summary`), and how many standard deviations each value lies above its mean
        where both are normal: on the warped scale, if there is one.
    """
    with torch.no_grad():
        mean, covariance, targets = _marginal(surrogate)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        variances = 1 / precision.diagonal()
        predicted = targets - precision @ (targets - mean) * variances
        stds = variances.sqrt()
        return *surrogate.units.summary(predicted, stds), (targets - predicted) / stds


def log_length_scale_covariance(surrogate: Surrogate) -> Tensor | None:
    """Return the d x d covariance of the log length scales in their posterior, or None.

    Laplace's approximation: the inverse of the negative Hessian of the log
    marginal likelihood with its priors, at the maximum that `fit` has found, in
    what is fitted: the logs of the length scales, of the kernel's variance and of
    the learnt noise, each over its bound, and the mean. All but the first are
    integrated out by taking the block of the inverse. A column that the trials say nothing
    about has its variance under the prior, given the other columns. Noise that is fitted to
    nothing is left at that, and a warp and a step as they are.

    None if there is no such maximum: a length scale is at its bound, or the
    Hessian is not negative definite.
    """
    gp = surrogate.gp
    kernel = gp.covar_module.base_kernel
    scales = kernel.lengthscale.detach().flatten()
    if (scales <= 1.001 * SHORTEST_LENGTH_SCALE).any():
        return None
    parameters = [
        kernel.raw_lengthscale,
        gp.covar_module.raw_outputscale,
        gp.mean_module.raw_constant,
    ]
    if (trend := trend_of(gp.covar_module)) is not None:
        parameters += [trend.base_kernel.raw_lengthscale, trend.raw_outputscale]
    if gp.likelihood.second_noise.item() > 1.1 * SMALLEST_LEARNT_VARIANCE:
        parameters.append(gp.likelihood.second_noise_covar.raw_noise)
    gradients = torch.autograd.grad(_log_posterior(surrogate), parameters, create_graph=True)
    slopes = torch.cat([gradient.flatten() for gradient in gradients])
    lines = [torch.autograd.grad(slope, parameters, retain_graph=True) for slope in slopes]
    hessian = torch.stack([torch.cat([part.flatten() for part in line]) for line in lines])
    factor, failed = torch.linalg.cholesky_ex(-(hessian + hessian.T) / 2)
    if failed or not factor.isfinite().all():
        return None
    columns = scales.numel()
    # From the log of what a length scale has over its bound to its own log.
    slope = (scales - SHORTEST_LENGTH_SCALE) / scales
    return torch.cholesky_inverse(factor)[:columns, :columns] * slope * slope.unsqueeze(-1)


def slice_values(dimension: Dimension) -> list[object]:
    """Return up to 33 values of a dimension in their order, evenly spread; all choices."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    if isinstance(dimension, Integer) and dimension.high - dimension.low < POINTS:
        return list(range(dimension.low, dimension.high + 1))
    values = [dimension.decode([index / (POINTS - 1)]) for index in range(POINTS)]
    return list(dict.fromkeys(values))


def _marginal(surrogate: Surrogate) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and covariance of the noisy standardised values, and these values."""
    gp = surrogate.gp
    # GPyTorch's faster kernels for a single column cannot be differentiated twice; they are
    # not used for rows that ask for a gradient.
    rows = gp.train_inputs[0].detach().requires_grad_()
    belief = gp.likelihood(gp.forward(rows), [rows])
    return belief.mean, belief.covariance_matrix, gp.train_targets


def _log_posterior(surrogate: Surrogate) -> Tensor:
    """Return the log marginal likelihood plus the log priors, up to a constant."""
    mean, covariance, targets = _marginal(surrogate)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, (targets - mean).unsqueeze(-1), upper=False)
    total = -whitened.square().sum() / 2 - factor.diagonal().log().sum()
    for _, module, prior, closure, _ in surrogate.gp.named_priors():
        total = total + prior.log_prob(closure(module)).sum()
    return total


def _influences(
    surrogate: Surrogate, space: Space, best: Trial, covariance: Tensor | None, sign: float
) -> tuple[Influence, ...]:
    scales = torch.tensor(length_scales(surrogate))
    centre = torch.tensor(space.encode(best.params))
    level = surrogate.step * best.is_from_scratch
    influences, start = [], 0
    for name, dimension in space.dimensions.items():
        columns = slice(start, start + dimension.width)
        start += dimension.width
        if not dimension.width:
            continue
        values = slice_values(dimension)
        rows = centre.repeat(len(values), 1)
        rows[:, columns] = torch.tensor([dimension.encode(value) for value in values])
        means, sds = posterior(surrogate, rows)
        top, bottom = int(means.argmax()), int(means.argmin())
        block = None if covariance is None else covariance[columns, columns]
        importance, interval = _importance(dimension, scales[columns], block)
        influences.append(
            Influence(
                name,
                importance,
                interval,
                effect=(means[top] - means[bottom]).item(),
                effect_sd=_sd_of_difference(surrogate, rows[[top, bottom]]),
                slice=Slice(
                    tuple(values),
                    tuple((sign * (means + level)).tolist()),
                    tuple(sds.tolist()),
                    _scale(dimension),
                ),
            )
        )
    return tuple(sorted(influences, key=lambda influence: -influence.importance))


def _importance(
    dimension: Dimension, scales: Tensor, covariance: Tensor | None
) -> tuple[float, tuple[float, float] | None]:
    """Return the length scales between the ends of a dimension, with 95 %.

    That is 1/l for a number. Two of several choices differ in two columns: those
    with the shortest length scales. The interval is normal in the log, to first
    order in the columns' logs (the delta method).
    """
    apart = scales.topk(min(2, len(scales)), largest=False)
    terms = apart.values.square().reciprocal()
    importance = terms.sum().sqrt().item()
    if covariance is None:
        return importance, None
    weights = torch.zeros(len(scales))
    weights[apart.indices] = terms / terms.sum()
    factor = math.exp(1.96 * (weights @ covariance @ weights).sqrt().item())
    return importance, (importance / factor, importance * factor)


def _scale(dimension: Dimension) -> Literal["linear", "log", "choices"]:
    if isinstance(dimension, Categorical):
        return "choices"
    return "log" if dimension.log else "linear"


def _sd_of_difference(surrogate: Surrogate, pair: Tensor) -> float:
    with torch.no_grad():
        belief = surrogate.gp.posterior(pair)
        # To first order, where the scale is warped.
        slopes = surrogate.units.slope(belief.mean.squeeze(-1)) * torch.tensor([1.0, -1.0])
        variance = slopes @ belief.distribution.covariance_matrix @ slopes
    return variance.clamp_min(0).sqrt().item()
