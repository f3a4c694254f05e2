"""What a few draws tell of how to lay out the rest.

b    variance of a draw's expected score between draws (chips)
w    variance of an image's score within a draw
c    seconds of a draw,  e  seconds of an image
n draws of m images each have the standard error sqrt((b + w/m) / n) and take
n (c + e m) seconds.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bayesft.robustness.images import draw_indices
from bayesft.robustness.sampler import Request, Sampler
from bayesft.robustness.sequential import FOLDS, LEAST
from bayesft.robustness.sharing import agreed

DRAWS = 16
IMAGES = 8
# A few more draws with more images, to tell the time of a draw from that of an image. A GPU
# takes many at once, so that what a draw takes depends on how many there are: as many there.
TIMED_DRAWS = 2
TIMED_IMAGES = 64
# The same at each sigma: so few tell it.
TIMED_SIGMAS = 4
MOST_IMAGES = 1024
# Of a score that has no value per image.
DEFAULT_IMAGES = 100
# Chips that no evaluation reaches: the pilot's are independent of the estimate's.
FIRST_CHIP = 1 << 62


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
    and seconds that differ from run to run) cannot bias it.

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
    on_cpu = sampler.weights.device.type == "cpu"
    timed = TIMED_DRAWS if on_cpu else DRAWS
    some = sigmas[:TIMED_SIGMAS]
    second = _requests(sampler, some, range(DRAWS, DRAWS + timed), min(TIMED_IMAGES, total))
    # What is slow the first time is not timed.
    sampler(_at(sigmas[:1], first[:1] if on_cpu else first))
    if not on_cpu:
        sampler(_at(sigmas[:1], second))
    started = time.perf_counter()
    kept = torch.stack(sampler(first))
    middle = time.perf_counter()
    sampler(second)
    ended = time.perf_counter()

    few, many = len(first[0].images), len(second[0].images)
    seconds_few = (middle - started) / DRAWS / len(sigmas)
    seconds_many = (ended - middle) / timed / len(some)
    image = max(0.0, seconds_many - seconds_few) / max(1, many - few)
    device, distributed = sampler.weights.device, sampler.distributed
    ratio = draws_worth(seconds_few - few * image, image)
    ratio = agreed(ratio, device=device, distributed=distributed)

    plans = []
    for column in kept.unbind(dim=1):
        scores = torch.nan_to_num(column[:, 0], nan=worst, posinf=worst, neginf=worst)
        if torch.isnan(column[:, 1]).all() and few > 1:
            images = min(DEFAULT_IMAGES, total)
            variance = float(scores.var()) / target**2
            plans.append(Plan(images, math.ceil(variance)))
            continue
        within = float(torch.nan_to_num(column[:, 1], nan=0.0).mean())
        # As if one image more had been scored worst: no pilot shows that there is no error.
        within = max(within, (float(scores.mean()) - worst) ** 2 / (few * DRAWS))
        between = max(0.0, float(scores.var()) - within / few)
        plans.append(
            best_plan(
                between,
                within,
                ratio=ratio,
                target=target,
                total=total,
                max_draws=max_draws,
                max_images=max_images,
            )
        )
    return plans


def draws_worth(draw: float, image: float) -> float:
    """Return how many images' time a draw takes besides its images, from 1/4 to 4096."""
    if image <= 0:
        return 4096.0
    return min(4096.0, max(0.25, draw / image))


def best_plan(
    between: float,
    within: float,
    *,
    ratio: float,
    target: float,
    total: int,
    max_draws: float = math.inf,
    max_images: float = math.inf,
) -> Plan:
    """Return the plan that takes the least time to reach the target.

    If the limits leave none, the one that comes nearest to it.

    Without limits that is m = sqrt(ratio * w / b). Powers of two are looked through,
    because the optimum is flat, a few draws are needed in any case, and seconds
    that differ from run to run should not change the plan.

    Args:
        between: b.
        within: w.
        ratio: c / e, the time of a draw in images.
        target: the wanted standard error.
        total: how many images there are.
        max_draws: the most that there may be.
        max_images: the most that all draws may have together.
    """
    best, least = Plan(1, 1), (math.inf, math.inf)
    images = 1
    while images <= min(total, MOST_IMAGES):
        variance = between + within / images
        draws = max(FOLDS * LEAST, variance / target**2)
        most = min(max_draws, max_images // images)
        error = 0.0
        if draws > most:
            error = variance / most if most else math.inf
        cost = error, draws * (ratio + images)
        if cost < least:
            best, least = Plan(images, math.ceil(draws)), cost
        images *= 2
    return best


def _at(sigmas: tuple[float, ...], requests: Sequence[Request]) -> list[Request]:
    return [replace(request, sigmas=sigmas) for request in requests]


def _requests(
    sampler: Sampler, sigmas: tuple[float, ...], draws: Sequence[int], images: int
) -> list[Request]:
    return [
        Request(
            FIRST_CHIP + draw,
            sigmas,
            draw_indices(
                draw, images=images, total=sampler.pool.total, seed=sampler.seed, stream="pilot"
            ),
        )
        for draw in draws
    ]
