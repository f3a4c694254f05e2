"""From a fitted Gaussian process to what it says about the dimensions."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from bayesft.bo.belief import PROGRESS
from bayesft.bo.dimension import Categorical, Dimension, Integer
from bayesft.bo.errors import InsightError, SurrogateError
from bayesft.bo.importance import total_indices
from bayesft.bo.insight import Calibration, Influence, Insight, Slice
from bayesft.bo.space import Space
from bayesft.bo.surrogate import FIT_ERRORS, Surrogate, marginal, posterior
from bayesft.bo.trend import trend_of
from bayesft.bo.trial import Trial

# Values on a slice of a dimension that has more.
POINTS = 33


def explain(
    surrogate: Surrogate,
    space: Space,
    trials: Sequence[Trial],
    best: Trial,
    *,
    sign: float,
    seed: int,
) -> Insight:
    """Say what the Gaussian process has learnt.

    Args:
        surrogate: fitted to the trials times `sign`; its state is used up, so give a copy.
        space: of its rows.
        trials: in the order of its rows. The failed ones take part in every
            prediction with the value that they were given, and are not predicted.
        best: the trial that the slices run through; where the value changes, with the progress
            at which all is told.
        sign: -1 if the value is minimised, else 1.
        seed: of the functions that importance is taken from.

    Raises:
        InsightError: the finished trials all have the same value.
        SurrogateError: the numerics broke down.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    values = [trial.value for trial in finished]
    if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        raise InsightError(f"all {len(values)} finished trials have the same value, {values[0]:g}")
    changing = trend_of(surrogate.gp.covar_module) is not None
    try:
        means, sds, residuals = leave_one_out(surrogate)
        held = {PROGRESS: best.params[PROGRESS]} if changing else {}
        indices = total_indices(surrogate, space, held, seed)
        influences = _influences(surrogate, space, best, indices, sign)
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
    mean, covariance, targets = marginal(surrogate)
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    variances = 1 / precision.diagonal()
    predicted = targets - precision @ (targets - mean) * variances
    stds = variances.sqrt()
    return *surrogate.units.summary(predicted, stds), (targets - predicted) / stds


def slice_values(dimension: Dimension) -> list[object]:
    """Return up to 33 values of a dimension in their order, evenly spread; all choices."""
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    if isinstance(dimension, Integer) and dimension.high - dimension.low < POINTS:
        return list(range(dimension.low, dimension.high + 1))
    values = [dimension.decode([index / (POINTS - 1)]) for index in range(POINTS)]
    return list(dict.fromkeys(values))


def _influences(
    surrogate: Surrogate,
    space: Space,
    best: Trial,
    indices: Mapping[str, Tensor],
    sign: float,
) -> tuple[Influence, ...]:
    centre = torch.tensor(space.encode(best.params))
    level = surrogate.step * best.is_from_scratch
    influences = []
    for name, columns in space.columns().items():
        dimension = space.dimensions[name]
        if not dimension.width:
            continue
        values = slice_values(dimension)
        rows = centre.repeat(len(values), 1)
        rows[:, columns] = torch.tensor([dimension.encode(value) for value in values])
        means, sds = posterior(surrogate, rows)
        top, bottom = int(means.argmax()), int(means.argmin())
        importance, interval = None, None
        if name in indices:
            shares = indices[name].quantile(torch.tensor([0.025, 0.5, 0.975])).tolist()
            importance, interval = shares[1], (shares[0], shares[2])
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
    return tuple(sorted(influences, key=lambda influence: -(influence.importance or 0.0)))


def _scale(dimension: Dimension) -> Literal["linear", "log", "choices"]:
    if isinstance(dimension, Categorical):
        return "choices"
    return "log" if dimension.log else "linear"


def _sd_of_difference(surrogate: Surrogate, pair: Tensor) -> float:
    with torch.no_grad():
        belief = surrogate.gp.posterior(pair)
        # To first order, where the scale is warped.
        slopes = surrogate.units.slope(belief.mean.squeeze(-1)) * torch.tensor([1.0, -1.0])
        # In units in which no square is too large or too small for a float.
        unit = slopes.abs().max()
        slopes = slopes / unit
        variance = slopes @ belief.distribution.covariance_matrix @ slopes
    return (unit * variance.clamp_min(0).sqrt()).item()
