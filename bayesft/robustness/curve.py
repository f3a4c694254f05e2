"""The result of a drift evaluation: the score at each sigma, with its error."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from bayesft.errors import SettingError
from bayesft.robustness import statistics
from bayesft.robustness.curve_file import (
    read_csv,
    read_json,
    told_if_unreadable,
    write_csv,
    write_json,
)
from bayesft.robustness.point import CurvePoint

# In a CSV file, beside a point's own columns.
_TARGET = "target_stderr"


@dataclass(frozen=True)
class Curve:
    """The score against sigma.

    Attributes:
        points: one per sigma, in increasing order of sigma.
        scores: for each point, the score of every draw, None where a draw was not
            made at that sigma. The draws are the same chips at each sigma, so
            `scores[i][k]` and `scores[j][k]` are paired. None in a curve read from
            CSV, which holds the summary alone.
        seed: of the chips and images; curves of one seed can be compared in pairs.
        strata: how many folds the draws belong to, draw k to fold k mod `strata`; a mean
            is the mean of the folds' means. More than 1 where the evaluation stopped by
            itself (see `sequential`).
        target_stderr: the standard error that was asked for, or None.
        drift: what happened to the weights, as the drift writes itself, where it is known.

    Raises:
        SettingError: no points, sigmas not increasing, or scores of another shape.
    """

    points: tuple[CurvePoint, ...]
    # Thousands of numbers, which nobody wants to see printed.
    scores: tuple[tuple[float | None, ...], ...] | None = field(default=None, repr=False)
    seed: int | None = None
    strata: int = 1
    target_stderr: float | None = None
    drift: str | None = None

    def __post_init__(self) -> None:
        sigmas = self.sigmas
        if not sigmas or any(a >= b for a, b in itertools.pairwise(sigmas)):
            raise SettingError(f"A curve needs sigmas in increasing order, but got {sigmas}.")
        if self.scores is not None and [
            sum(score is not None for score in row) for row in self.scores
        ] != [point.draws for point in self.points]:
            raise SettingError("A curve needs one score per draw at each of its points.")

    def __str__(self) -> str:
        """Return a line for each sigma, and one for the mean over them."""
        rows = [(f"{p.sigma:g}", p.mean, p.stderr, _counted(p)) for p in self.points]
        rows.append(("mean", self.mean, self.stderr, ""))
        lines = (f"{name:>5}  {mean:.4f} ± {error:.4f}  {n}" for name, mean, error, n in rows)
        return "\n".join(["sigma  score", *(line.rstrip() for line in lines)])

    @property
    def sigmas(self) -> tuple[float, ...]:
        return tuple(point.sigma for point in self.points)

    @property
    def mean(self) -> float:
        """The mean over sigmas: the objective of a search."""
        return self._combined([1 / len(self.points)] * len(self.points))[0]

    @property
    def stderr(self) -> float:
        """The standard error of `mean`.

        The sigmas share their draws, so their errors are not independent. A curve
        without scores gives the mean of the points' standard errors, which is an
        upper bound.
        """
        return self._combined([1 / len(self.points)] * len(self.points))[1]

    def interval(self, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        """Return an interval of confidence for `mean`; see `CurvePoint.interval`.

        Args:
            confidence: between 0 and 1.
        """
        degrees = min(point.draws - point.strata for point in self.points)
        unseen = math.fsum(point.unseen for point in self.points) / len(self.points)
        return statistics.interval(self.mean, self.stderr, degrees, confidence, unseen=unseen)

    @property
    def auc(self) -> float:
        """The area under the curve by the trapezoid rule, divided by the range of sigma."""
        return self._combined(statistics.trapezoid_weights(self.sigmas))[0]

    @property
    def auc_stderr(self) -> float:
        """The standard error of `auc`, with the remark at `stderr`."""
        return self._combined(statistics.trapezoid_weights(self.sigmas))[1]

    @property
    def reached(self) -> bool:
        """Whether every point has the standard error that was asked for, if one was.

        And no more than that is unseen: scores that all agree have no error, of few chips too.
        """
        return self.target_stderr is None or not self.missed

    @property
    def missed(self) -> tuple[CurvePoint, ...]:
        """The points that have not reached the standard error that was asked for."""
        target = math.inf if self.target_stderr is None else self.target_stderr
        return tuple(
            point for point in self.points if not max(point.stderr, point.unseen) <= target
        )

    def _combined(self, weights: Sequence[float]) -> tuple[float, float]:
        means = math.fsum(w * point.mean for w, point in zip(weights, self.points, strict=True))
        if self.scores is None:
            errors = [w * point.stderr for w, point in zip(weights, self.points, strict=True)]
            return means, math.fsum(errors)
        table = statistics.as_array(self.scores)
        return means, statistics.combined_stderr(table, weights, self.strata)

    def at(self, sigmas: Sequence[float]) -> "Curve":
        """Return the part of the curve at `sigmas`.

        Raises:
            SettingError: one of them was not evaluated, or it is a number and not a list.
        """
        if not isinstance(sigmas, Iterable):
            raise SettingError(
                f"Expected `sigmas` to be a list, but got {sigmas!r}: try [{sigmas}]."
            )
        missing = [sigma for sigma in sigmas if sigma not in self.sigmas]
        if missing:
            raise SettingError(f"The curve has no value at sigma {missing}; it has {self.sigmas}.")
        keep = [i for i, sigma in enumerate(self.sigmas) if sigma in sigmas]
        scores = None if self.scores is None else tuple(self.scores[i] for i in keep)
        points = tuple(self.points[i] for i in keep)
        return replace(self, points=points, scores=scores)

    def to_json(self, path: str | Path) -> None:
        """Write everything, the draws' scores included.

        Raises:
            SettingError: there is no such folder.
        """
        write_json(path, asdict(self))

    @classmethod
    def from_json(cls, path: str | Path) -> "Curve":
        """Read what `to_json` wrote.

        Raises:
            SettingError: the file is not such a curve.
        """
        with told_if_unreadable(path):
            content = read_json(path)
            points = tuple(CurvePoint(**point) for point in content["points"])
            scores = content["scores"]
            if scores is not None:
                scores = tuple(tuple(row) for row in scores)
            # Earlier curves have none of the last three.
            return cls(
                points,
                scores,
                content["seed"],
                content.get("strata", 1),
                content.get("target_stderr"),
                content.get("drift"),
            )

    def to_csv(self, path: str | Path) -> None:
        """Write the summary, one row per sigma, for a spreadsheet.

        Raises:
            SettingError: there is no such folder.
        """
        write_csv(path, [{**asdict(p), _TARGET: self.target_stderr} for p in self.points])

    @classmethod
    def from_csv(cls, path: str | Path) -> "Curve":
        """Read what `to_csv` wrote: the points, and the standard error that was asked for.

        Raises:
            SettingError: the file is not such a curve.
        """
        with told_if_unreadable(path):
            rows = read_csv(path)
            points = tuple(_point_from_row(row) for row in rows)
            # A file of an earlier version has none.
            target = rows[0].get(_TARGET) if rows else None
            strata = points[0].strata if points else 1
            return cls(points, strata=strata, target_stderr=float(target) if target else None)


def _counted(point: CurvePoint) -> str:
    """Return how many draws there are, and of how many the score counts as the worst."""
    lost = f", {point.nonfinite:,} not finite" if point.nonfinite else ""
    return f"{point.draws:,} draws{lost}"


def _point_from_row(row: dict[str, str]) -> CurvePoint:
    return CurvePoint(**{f.name: f.type(row[f.name]) for f in fields(CurvePoint) if f.name in row})
