"""What the searches of `sweepers.py` minimise: functions whose optimum is known."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Problem:
    """A function to be minimised, and the noise that hides it.

    Args:
        function: Of a point, d numbers, without noise.
        bounds: Lowest and highest value of each of the d.
        optimum: Smallest value within the bounds.
        noise: Standard deviation of what is observed.
        reported: Whether that is told as the standard error.
    """

    function: Callable[[Sequence[float]], float]
    bounds: Sequence[tuple[float, float]]
    optimum: float
    noise: float = 0.0
    reported: bool = False

    @property
    def stderr(self) -> float | None:
        return self.noise if self.reported else None


def branin(x: Sequence[float]) -> float:
    a, b = x
    bowl = b - 5.1 * a**2 / (4 * math.pi**2) + 5 * a / math.pi - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann6(x: Sequence[float]) -> float:
    depths = (1.0, 1.2, 3.0, 3.2)
    widths = (
        (10, 3, 17, 3.5, 1.7, 8),
        (0.05, 10, 17, 0.1, 8, 14),
        (3, 3.5, 1.7, 10, 17, 8),
        (17, 8, 0.05, 10, 0.1, 14),
    )
    centres = (
        (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
        (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
        (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
        (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
    )
    return -sum(
        depth * math.exp(-sum(w * (v - c) ** 2 for v, w, c in zip(x, width, centre, strict=True)))
        for depth, width, centre in zip(depths, widths, centres, strict=True)
    )


def ackley(x: Sequence[float]) -> float:
    distance = math.sqrt(sum(v**2 for v in x) / len(x))
    ripple = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return 20 + math.e - 20 * math.exp(-0.2 * distance) - math.exp(ripple)


SITES = 20
_WEIGHTS = [3.0 * 0.6**site for site in range(SITES)]
_RATES = [0.1 + 0.4 * (0.5 + 0.5 * math.sin(2.4 * site)) for site in range(SITES)]


def dropout_loss(rates: Sequence[float]) -> float:
    """Return 1 - score of a network under drift, as if it were trained with these rates.

    Each site has a best rate between .1 and .5 and matters .6 times as much as the one
    before it. Beyond a mean rate of about .55 little gets through, and the score falls
    to chance.
    """
    miss = sum(
        weight * (rate - best) ** 2
        for weight, rate, best in zip(_WEIGHTS, rates, _RATES, strict=True)
    )
    alive = 1 / (1 + math.exp((sum(rates) / SITES - 0.55) / 0.02))
    return 1 - (0.1 + 0.8 * math.exp(-2 * miss) * alive)


_BRANIN = partial(Problem, branin, [(-5.0, 10.0), (0.0, 15.0)], 0.39788735772973816)
_HARTMANN = partial(Problem, hartmann6, [(0.0, 1.0)] * 6, -3.3223680114155143)
# Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization",
# NeurIPS 2019: with symmetric bounds the optimum is in the middle, where Ax looks first.
_ACKLEY = partial(Problem, ackley, [(-5.0, 10.0)] * 5, 0.0)

PROBLEMS = {
    "branin": _BRANIN(),
    "branin-noisy": _BRANIN(noise=2.0),
    "hartmann6": _HARTMANN(),
    "hartmann6-noisy": _HARTMANN(noise=0.2),
    "ackley5": _ACKLEY(),
    "ackley5-noisy": _ACKLEY(noise=0.5),
    # The factor for a large mean rate is 1 within 1e-5 at the best rates.
    "dropout20": Problem(
        dropout_loss, [(0.0, 0.8)] * SITES, dropout_loss(_RATES), noise=0.01, reported=True
    ),
}


def observe(problem: Problem, point: Sequence[float], seed: int, number: int) -> float:
    return problem.function(point) + problem.noise * random.Random(f"{seed} {number}").gauss(0, 1)


def regret(problem: Problem, point: Sequence[float]) -> float:
    return problem.function(point) - problem.optimum


def named_bounds(problem: Problem) -> list[tuple[str, tuple[float, float]]]:
    return [(f"x{index}", bounds) for index, bounds in enumerate(problem.bounds)]
