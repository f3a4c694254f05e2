"""When to stop drawing, without a bias from stopping.

An evaluation that stops when its own standard error is small enough stops more
readily when its scores happen to agree, and the mean of what it has then is biased.
Here draw k belongs to fold k mod F, and how many draws of a fold count is decided
by the *other* folds' scores alone. A fold's number of scores is then independent of
the fold's scores, so its mean is exactly unbiased whatever the rule looks at; and so
is the mean of the F means, whose weights are fixed.

All folds are looked at after the same numbers of draws, which were fixed before the
first one. Since any two sets of others share most of their scores, the folds stop at
the same look or at neighbouring ones, and little is drawn that does not count.

t      the wanted standard error of the mean of the F means
n      draws of each fold;  s^2  the variance of the scores, pooled over the other folds
With s^2 / (F n) = t^2 the standard error is t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bayesft.robustness.statistics import mean_of, tries, unseen

FOLDS = 8
# Draws of a fold before it can stop.
LEAST = 4
# What no image has shown is to be below the target by all scores, of which a rule has most.
_OF_TARGET = 0.9


class Spread(NamedTuple):
    """What a rule looks at of a fold's scores.

    Attributes:
        draws: n.
        mean: of the scores.
        squares: the sum of their squared distances from it.
    """

    draws: int
    mean: float
    squares: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> "Spread":
        """Return it; there is at least one score."""
        mean = mean_of(scores)
        squares = math.fsum([(score - mean) ** 2 for score in scores])
        return cls(len(scores), mean, squares)


@dataclass(frozen=True)
class Rule:
    """When a fold's draws are enough, by the other folds' scores.

    Args:
        target: t.
        sigma: the strength of the drift.
        images: in a draw.
        worst: the worst score.
        best: the best score.
        looks: the numbers of draws of each fold after which to look; the last one
            ends the evaluation in any case.
    """

    target: float
    sigma: float
    images: int
    worst: float
    best: float
    looks: tuple[int, ...]

    def enough(self, others: Sequence[Spread]) -> bool:
        """Whether n draws of every fold give the target, by those of the other folds.

        Scores that all agree have not shown that there is no error: what no image has
        shown (`statistics.unseen`) has to be below the target as well.

        Args:
            others: F - 1, each of n draws.
        """
        folds, n = len(others) + 1, others[0].draws
        squares = math.fsum([other.squares for other in others])
        degrees = len(others) * (n - 1)
        # By as much as the estimated error is itself unsure.
        aim = self.target * (1 - 1 / math.sqrt(2 * degrees))
        draws = folds * n
        tried = tries(draws, draws * self.images, sigma=self.sigma, agree=squares == 0)
        mean = math.fsum([other.mean for other in others]) / len(others)
        hidden = unseen(mean, tried, worst=self.worst, best=self.best)
        return squares / degrees / draws <= aim**2 and hidden <= _OF_TARGET * self.target


def make_looks(first: int, most: int, *, growth: float) -> tuple[int, ...]:
    """Return the numbers of draws of a fold to look after.

    Args:
        first: the first look, such as a pilot's guess; at least `LEAST` is taken.
        most: the last one; below 2 there is no error to look at, so 2 is taken.
        growth: from one look to the next.
    """
    most = max(2, most)
    looks = [min(max(first, LEAST), most)]
    while looks[-1] < most:
        looks.append(min(most, math.ceil(looks[-1] * growth)))
    return tuple(looks)


class Folds:
    """The scores of all folds at one sigma, and how many draws of each count.

    Args:
        rule: says when it is enough.
        folds: F.
    """

    def __init__(self, rule: Rule, folds: int = FOLDS) -> None:
        self.rule = rule
        self.scores: list[list[float]] = [[] for _ in range(folds)]
        self._stops: list[int | None] = [None] * folds
        self._look = 0

    @property
    def missing(self) -> range:
        """The numbers, within each fold, of the draws to make next; empty when all is done."""
        if None not in self._stops:
            return range(0)
        return range(len(self.scores[0]), self.rule.looks[self._look])

    def add(self, scores: Sequence[Sequence[float]]) -> None:
        """Take the scores of the missing draws, a list for each fold, and look."""
        for own, fresh in zip(self.scores, scores, strict=True):
            own.extend(fresh)
        n = self.rule.looks[self._look]
        last = self._look == len(self.rule.looks) - 1
        spreads = [Spread.of(own) for own in self.scores]
        for fold, stop in enumerate(self._stops):
            others = spreads[:fold] + spreads[fold + 1 :]
            if stop is None and (last or self.rule.enough(others)):
                self._stops[fold] = n
        self._look += not last

    @property
    def used(self) -> list[list[float]]:
        """The scores that count, by fold."""
        return [own[:stop] for own, stop in zip(self.scores, self._stops, strict=True)]
