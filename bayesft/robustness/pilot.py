"""What a few draws tell of how to lay out the rest.

b    variance of a draw's expected score between draws (chips)
w    variance of an image's score within a draw
c    seconds of a draw,  e  seconds of an image
n draws of m images each have the standard error sqrt((b + w/m) / n) and take
n (c + e m) seconds.
"""

import math
import time
from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
from torch import nn

from bayesft.robustness.images import draw_indices
from bayesft.robustness.sampler import Requests, Sampler
from bayesft.robustness.sequential import FOLDS, LEAST
from bayesft.robustness.sharing import agreed

DRAWS = 16
IMAGES = 8
# A few more draws with more images, to tell the time of a draw from that of an image.
TIMED_DRAWS = 2
TIMED_IMAGES = 64
# It is the same at each sigma: so few tell it. But what a draw takes where many are scored at
# once depends on how many there are.
TIMED_SIGMAS = 4
MOST_IMAGES = 1024
# Of a score that has no value per image.
DEFAULT_IMAGES = 100
# Chips that no evaluation reaches: the pilot's are independent of the estimate's.
FIRST_CHIP = 1 << 62

# For each network how many images' time a draw takes, by how it is scored: a training asks
# each epoch, and a GPU takes as long for what is timed as for the estimate.
_KNOWN: MutableMapping[nn.Module, dict[Hashable, float]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Plan:
    """How many images each draw is scored on, and how many draws that seems to take."""

    images: int
    draws: int


def run_pilot(
    sampler: Sampler,
    sigmas: tuple[float, ...],
    *,
    target: float,
    worst: float,
    max_draws: int,
    max_images: float = math.inf,
) -> list[Plan]:
    """Score a few draws and return a plan for each sigma.

    Nothing of the pilot enters the estimate, so what the plans depend on (scores,
    and seconds that differ from run to run) cannot bias it. The seconds are those of
    a process's first evaluation of a network.

    Where draws of all sigmas are scored together they have as many images at each that
    can reach the target.

    Args:
        sampler: of the network.
        sigmas: the strengths.
        target: the wanted standard error.
        worst: the score of a draw that has none.
        max_draws: the most that there may be at a sigma.
        max_images: the most that all draws at a sigma may have together.
    """
    total = sampler.pool.total
    first = _requests(sampler, sigmas, range(DRAWS), min(IMAGES, total))
    [kept] = sampler([first])
    ratio = _ratio(sampler, first)

    few, variances, default = first.images.shape[1], [], []
    for column in kept.unbind(dim=1):
        scores = torch.nan_to_num(column[:, 0], nan=worst, posinf=worst, neginf=worst)
        within = float(torch.nan_to_num(column[:, 1], nan=0.0).mean())
        # As if one image more had been scored worst: no pilot shows that there is no error.
        within = max(within, (float(scores.mean()) - worst) ** 2 / (few * DRAWS))
        variances.append((max(0.0, float(scores.var()) - within / few), within))
        unknown = few > 1 and bool(torch.isnan(column[:, 1]).all())
        draws = math.ceil(float(scores.var()) / target**2)
        default.append(Plan(min(DEFAULT_IMAGES, total), draws) if unknown else None)
    limits = {"target": target, "total": total, "max_draws": max_draws, "max_images": max_images}
    plans = [
        plan or best_plan(*own, ratio=ratio, **limits)
        for plan, own in zip(default, variances, strict=True)
    ]
    reachable = [
        place
        for place, plan in enumerate(plans)
        if default[place] is None and plan.draws <= min(max_draws, max_images // plan.images)
    ]
    if sampler.mixes and reachable:
        some = [variances[place] for place in reachable]
        for place, plan in zip(reachable, best_plans(some, ratio=ratio, **limits), strict=True):
            plans[place] = plan
    return plans


def _ratio(sampler: Sampler, first: Requests) -> float:
    """Return how many images' time a draw takes, timed the first time.

    Args:
        sampler: of the network.
        first: requests that it has scored, so that what is slow the first time is over.
    """
    known = _KNOWN.setdefault(sampler.model, {})
    # Elsewhere nothing may be known, and all processes have to do the same.
    if not sampler.distributed and sampler.kind in known:
        return known[sampler.kind]
    draw, image = _seconds(sampler, first)
    ratio = draws_worth(draw, image)
    if not sampler.distributed and image > 0:
        known[sampler.kind] = ratio
    return agreed(ratio, device=sampler.weights.device, distributed=sampler.distributed)


def _seconds(sampler: Sampler, first: Requests) -> tuple[float, float]:
    """Return what a draw takes beside its images, and an image."""
    sigmas = first.sigmas if sampler.mixes else first.sigmas[:TIMED_SIGMAS]
    on_cpu = sampler.weights.device.type == "cpu"
    # A GPU takes many at once: the same number of both kinds there.
    timed, most = TIMED_DRAWS if on_cpu else DRAWS, min(TIMED_IMAGES, sampler.pool.total)
    small = replace(first, sigmas=sigmas)
    large = _requests(sampler, sigmas, range(DRAWS, DRAWS + timed), most)
    if not on_cpu:
        sampler([small])
        sampler([large])
    times = [time.perf_counter()]
    for requests in (small, large):
        sampler([requests])
        times.append(time.perf_counter())
    few, many = (
        (end - start) / len(requests) / len(sigmas)
        for (start, end), requests in zip(pairwise(times), (small, large), strict=True)
    )
    sizes = small.images.shape[1], large.images.shape[1]
    image = max(0.0, many - few) / max(1, sizes[1] - sizes[0])
    return few - sizes[0] * image, image


def draws_worth(draw: float, image: float) -> float:
    """Return how many images' time a draw takes besides its images, from 1/4 to 4096."""
    if image <= 0:
        return 4096.0
    return min(4096.0, max(0.25, draw / image))


def best_plan(between: float, within: float, **settings: float) -> Plan:
    """Return the plan that takes the least time to reach the target; see `best_plans`."""
    [plan] = best_plans([(between, within)], **settings)
    return plan


def best_plans(
    variances: Sequence[tuple[float, float]],
    *,
    ratio: float,
    target: float,
    total: int,
    max_draws: float = math.inf,
    max_images: float = math.inf,
) -> list[Plan]:
    """Return plans of as many images each, which take the least time to reach the target.

    If the limits leave none, those that come nearest to it.

    Without limits that is m = sqrt(ratio * w / b). Powers of two are looked through,
    because the optimum is flat, a few draws are needed in any case, and seconds
    that differ from run to run should not change the plan.

    Args:
        variances: b and w, for each plan.
        ratio: c / e, the time of a draw in images.
        target: the wanted standard error.
        total: how many images there are.
        max_draws: the most that there may be.
        max_images: the most that all draws may have together.
    """
    best, least = [Plan(1, 1)] * len(variances), (math.inf, math.inf)
    images = 1
    while images <= min(total, MOST_IMAGES):
        plans, error, cost = [], 0.0, 0.0
        most = min(max_draws, max_images // images)
        for between, within in variances:
            variance = between + within / images
            draws = max(FOLDS * LEAST, variance / target**2)
            if draws > most:
                error = max(error, variance / most if most else math.inf)
            cost += draws * (ratio + images)
            plans.append(Plan(images, math.ceil(draws)))
        if (error, cost) < least:
            best, least = plans, (error, cost)
        images *= 2
    return best


def _requests(sampler: Sampler, sigmas: tuple[float, ...], draws: range, images: int) -> Requests:
    places = draw_indices(
        draws, images=images, total=sampler.pool.total, seed=sampler.seed, stream="pilot"
    )
    return Requests([FIRST_CHIP + draw for draw in draws], sigmas, places)
