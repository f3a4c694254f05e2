"""How often the intervals of importance that a search tells hold the true shares.

    python benchmarks/importance.py --seeds 10 --json importance.json

On the problems of `sweepers.py`, whose shares of the variance (Sobol's total indices) are known:
30 trials of a search, or of evenly spread points, then `Optimizer.insight()`. A row has the
share of fits that the verdict lets be read, how many intervals of these hold the truth, and
how many of all fits; how wide all are, and how far importance is from the truth. An interval
is given half a percent, which is how it is printed.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from sweeper_problems import PROBLEMS, Problem, named_bounds, observe
from torch.quasirandom import SobolEngine

from bayesft.bo import Insight, Optimizer, Real, Space, Trial
from bayesft.bo.sensitivity import TotalIndices

SHOWN = 0.005
# Of rows from which the true shares are computed.
POINTS = 2**13


@dataclass(frozen=True)
class Outcome:
    """What one search told of one dimension, and what is true."""

    readable: bool
    true: float
    importance: float
    interval: tuple[float, float]

    @property
    def held(self) -> bool:
        low, high = self.interval
        return low - SHOWN <= self.true <= high + SHOWN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--only", nargs="*", choices=sorted(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--json", type=Path, help="write the numbers to this file after each row")
    arguments = parser.parse_args()
    heads = ("trials", "read", "held", "by all", "width", "off by")
    print(f"{'':16} {heads[0]:8} " + "  ".join(f"{head:>6}" for head in heads[1:]))
    numbers = {}
    for name in arguments.only:
        shares = true_shares(PROBLEMS[name])
        for kind in ("searched", "spread"):
            outcomes = [
                outcome
                for seed in range(arguments.seeds)
                for outcome in outcomes_of(
                    told(PROBLEMS[name], arguments.trials, seed, searched=kind == "searched"),
                    shares,
                )
            ]
            numbers[f"{name} {kind}"] = row = summary(outcomes)
            print(f"{name:16} {kind:8} " + "  ".join(f"{value:6.2f}" for value in row.values()),
                  flush=True)  # fmt: skip
            if arguments.json:
                arguments.json.write_text(json.dumps(numbers, indent=1) + "\n")


def summary(outcomes: list[Outcome]) -> dict[str, float]:
    read = [outcome for outcome in outcomes if outcome.readable]
    return {
        "readable": len(read) / len(outcomes),
        "held": statistics.mean(outcome.held for outcome in read) if read else math.nan,
        "held_by_all": statistics.mean(outcome.held for outcome in outcomes),
        "width": statistics.mean(o.interval[1] - o.interval[0] for o in outcomes),
        "off_by": statistics.mean(abs(o.importance - o.true) for o in outcomes),
    }


def outcomes_of(insight: Insight, shares: dict[str, float]) -> Iterator[Outcome]:
    for each in insight.influences:
        yield Outcome(insight.doubt is None, shares[each.name], each.importance, each.interval)


def told(problem: Problem, trials: int, seed: int, *, searched: bool) -> Insight:
    """Return what is learnt of a problem, whose values are minimised."""
    space = space_of(problem)
    optimizer = Optimizer(space, seed=seed, direction="minimize")
    spread = SobolEngine(space.width, scramble=True, seed=seed).draw(trials, dtype=torch.float64)
    for number in range(trials):
        params = optimizer.ask()[0] if searched else space.decode(spread[number].tolist())
        value = observe(problem, list(params.values()), seed, number)
        optimizer.tell(Trial(number, params, state="finished", value=value, stderr=problem.stderr))
    return optimizer.insight()


def true_shares(problem: Problem) -> dict[str, float]:
    space = space_of(problem)
    asked = TotalIndices(space, held={}, blocks=1, points=POINTS, seed=0)
    points = (space.decode(row) for row in asked.rows(0).tolist())
    values = [problem.function(list(point.values())) for point in points]
    shares = asked.of(torch.tensor(values, dtype=torch.float64))
    return dict(zip(asked.names, shares.tolist(), strict=True))


def space_of(problem: Problem) -> Space:
    return Space({name: Real(*bounds) for name, bounds in named_bounds(problem)})


if __name__ == "__main__":
    main()
