"""Where to look next: log noisy expected improvement over the unit cube."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.space import Space
from bayesft.bo.surrogate import Surrogate

# isort: split
from botorch.acquisition import GenericMCObjective, qLogNoisyExpectedImprovement
from botorch.models import ModelListGP
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler

SAMPLES = 128
RAW_STARTS = 256
RESTARTS = 4

# Two rows closer than this in every column are the same point.
SAME = 1e-6


def suggest(
    surrogate: Surrogate,
    space: Space,
    observed: Tensor,
    pending: Tensor,
    seed: int,
    slacks: Sequence[Surrogate] = (),
) -> tuple[list[float], float] | None:
    """Return the row with the largest log noisy expected improvement, and that improvement.

    The acquisition function (Ament, Daulton, Eriksson, Balandat, Bakshy,
    "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
    NeurIPS 2023) is maximised from the best of `RAW_STARTS` Sobol rows and as
    many near the best trials. Each end of a climb is then snapped to the space,
    and the best of these rows that was not tried yet is taken. Choosing a batch
    is calling this again with each choice among the pending rows.

    Call within `isolated`, which makes it a function of its arguments.

    Args:
        surrogate: Of the values to be maximised.
        space: Says which rows stand for points.
        observed: n x d rows of the ended trials.
        pending: m x d rows of the running trials; m may be 0.
        seed: Of the posterior samples.
        slacks: Of each constraint's slack, which is negative where it is not kept to.
            The improvement then counts as far as all are positive, and over feasible
            trials alone (Ament et al., appendix on constraints).

    Returns:
        A row and its expected improvement in the surrogate's units, or None if every
        climb ended at a row tried already.
    """
    constrained = {}
    if slacks:
        constrained = {
            "objective": GenericMCObjective(lambda samples, X=None: samples[..., 0]),
            "constraints": [_violation(slack, i) for i, slack in enumerate(slacks, start=1)],
        }
    acquisition = qLogNoisyExpectedImprovement(
        ModelListGP(surrogate.gp, *(slack.gp for slack in slacks)) if slacks else surrogate.gp,
        observed,
        sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed),
        X_pending=pending if len(pending) else None,
        prune_baseline=True,
        **constrained,
    )
    width = observed.shape[-1]
    ends, _ = optimize_acqf(
        acquisition,
        bounds=torch.stack([torch.zeros(width), torch.ones(width)]).to(observed),
        q=1,
        num_restarts=RESTARTS,
        raw_samples=RAW_STARTS,
        options={"sample_around_best": True, "maxiter": 50},
        return_best_only=False,
    )
    taken = torch.cat([observed, pending])
    snapped = [space.round_row(end) for end in ends.flatten(end_dim=-2).tolist()]
    fresh = [row for row in snapped if not is_taken(row, taken)]
    if not fresh:
        return None
    with torch.no_grad():
        scores = acquisition(torch.tensor(fresh).to(observed).unsqueeze(-2))
    best = int(scores.argmax())
    return fresh[best], math.exp(float(scores[best]))


def _violation(slack: Surrogate, output: int) -> Callable[[Tensor], Tensor]:
    """Return the function of posterior samples that BoTorch wants: negative if feasible."""
    return lambda samples: -(samples[..., output] + slack.centre / slack.scale)


def is_taken(row: list[float], taken: Tensor) -> bool:
    """Whether a row is, within rounding, one of the n x d rows that were tried."""
    distances = (taken - torch.tensor(row).to(taken)).abs()
    return bool((distances.amax(dim=-1) < SAME).any())
