"""Draws until the standard error is what was asked for."""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from bayesft.robustness.images import draw_indices
from bayesft.robustness.pilot import Plan, run_pilot
from bayesft.robustness.sampler import Requests, Sampler
from bayesft.robustness.sequential import FOLDS, Folds, Rule, make_looks

# Of the draws that a plan expects, how many to make before the first look: a plan
# that was too large would be a waste.
_FIRST_SHARE = 0.7
# From one look to the next.
_GROWTH = 1.15
# The same where draws of all sigmas are scored together: what another round takes is more
# than a few draws.
_FIRST_SHARE_TOGETHER = 1.0
_GROWTH_TOGETHER = 1.4


def draw_until(
    sampler: Sampler,
    sigmas: tuple[float, ...],
    *,
    target: float,
    images_per_draw: int | None,
    max_draws: int,
    max_images: int | None,
    worst: float,
    best: float,
) -> tuple[list[list[float | None]], list[float], list[int]]:
    """Return the scores of the draws at each sigma, and of how many images they are.

    Draw k is number k // F of fold k % F. Its images are a place in the fold's own
    row of shuffled copies of the set, so that the folds are independent.

    Args:
        sampler: of the network.
        sigmas: the strengths.
        target: the wanted standard error at each.
        images_per_draw: images of each draw; None for what a pilot finds best.
        max_draws: at most so many draws at a sigma.
        max_images: at most so many images at a sigma, over its draws.
        worst: what a draw without a finite score counts as, for the stopping.
        best: the highest score that there is.

    Returns:
        For each sigma a row of scores by draw, None where the estimate has no such
        draw, not finite where the draw's score was not; the mean variance between a draw's
        images; and how many a draw has.
    """
    if images_per_draw is None:
        plans = run_pilot(
            sampler,
            sigmas,
            target=target,
            worst=worst,
            max_draws=max_draws,
            max_images=max_images or math.inf,
        )
    else:
        plans = [Plan(min(images_per_draw, sampler.pool.total), 0)] * len(sigmas)
    if max_images is not None:
        # Or the limit could leave no room for the draws that an error takes.
        most = max_images // (2 * FOLDS)
        plans = [Plan(min(plan.images, most), plan.draws) for plan in plans]
    images = {sigma: plan.images for sigma, plan in zip(sigmas, plans, strict=True)}
    # With a given number of images the draws are the same on every device.
    together = images_per_draw is None and sampler.mixes
    folds = {}
    for sigma, plan in zip(sigmas, plans, strict=True):
        looks = _looks(plan, max_draws=max_draws, max_images=max_images, together=together)
        folds[sigma] = Folds(Rule(target, sigma, plan.images, worst, best, looks))
    raw: dict[float, dict[int, float]] = {sigma: {} for sigma in sigmas}
    variances: dict[float, list[float]] = {sigma: [] for sigma in sigmas}
    while requests := _missing(sampler, folds, images):
        for each, rows in zip(requests, sampler(requests), strict=True):
            for sigma, (scores, within) in zip(
                each.sigmas, rows.permute(1, 2, 0).tolist(), strict=True
            ):
                raw[sigma].update(zip(each.chips, scores, strict=True))
                variances[sigma] += within
        for sigma, each in folds.items():
            if each.missing:
                scores = [
                    [_or(worst, raw[sigma][FOLDS * number + fold]) for number in each.missing]
                    for fold in range(FOLDS)
                ]
                each.add(scores)
    rows = [_row(raw[sigma], folds[sigma]) for sigma in sigmas]
    within = [mean_of_finite(variances[sigma]) for sigma in sigmas]
    return rows, within, [images[sigma] for sigma in sigmas]


def _looks(
    plan: Plan, *, max_draws: int, max_images: int | None, together: bool
) -> tuple[int, ...]:
    """Return after how many draws of a fold to look at a sigma of this plan."""
    share, growth = (
        (_FIRST_SHARE_TOGETHER, _GROWTH_TOGETHER) if together else (_FIRST_SHARE, _GROWTH)
    )
    limit = max_draws if max_images is None else min(max_draws, max_images // plan.images)
    return make_looks(math.ceil(share * plan.draws / FOLDS), limit // FOLDS, growth=growth)


def mean_of_finite(numbers: Sequence[float]) -> float:
    """Return the mean of those that are finite; NaN if none is."""
    finite = [number for number in numbers if math.isfinite(number)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def _missing(
    sampler: Sampler, folds: dict[float, Folds], images: dict[float, int]
) -> list[Requests]:
    """Return what to score next, draws of one form together, and those of as many images."""
    wanted: dict[int, list[tuple[float, range]]] = defaultdict(list)
    for sigma, each in folds.items():
        if each.missing:
            wanted[images[sigma]].append((sigma, each.missing))
    requests = []
    for size, missing in sorted(wanted.items()):
        edges = sorted({edge for _, own in missing for edge in (own.start, own.stop)})
        places = _of_all_folds(sampler, range(edges[0], edges[-1]), size)
        forms: dict[tuple[float, ...], list[range]] = defaultdict(list)
        for start, stop in pairwise(edges):
            sigmas = tuple(sigma for sigma, own in missing if start in own)
            if sigmas:
                forms[sigmas].append(range(FOLDS * start, FOLDS * stop))
        before = FOLDS * edges[0]
        requests += [
            Requests(chips, sigmas, places[chips.start - before : chips.stop - before])
            for sigmas, runs in forms.items()
            for chips in runs
        ]
    return requests


def _of_all_folds(sampler: Sampler, numbers: range, images: int) -> Tensor:
    """Return the images of the draws of these numbers in each fold, those of one number together.

    Shape `(FOLDS * len(numbers), images)`.
    """
    places = [
        draw_indices(
            numbers,
            images=images,
            total=sampler.pool.total,
            seed=sampler.seed,
            stream=f"images of fold {fold}",
        )
        for fold in range(FOLDS)
    ]
    return torch.stack(places, dim=1).flatten(0, 1)


def _row(scores: dict[int, float], folds: Folds) -> list[float | None]:
    """Return the scores that count, by draw."""
    used = {
        FOLDS * number + fold for fold, own in enumerate(folds.used) for number in range(len(own))
    }
    return [scores[chip] if chip in used else None for chip in range(max(used) + 1)]


def _or(worst: float, score: float) -> float:
    return score if math.isfinite(score) else worst
