"""The result of a drift evaluation: the score at each sigma, with its error."""

import csv
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from bayesft.errors import SettingError
from bayesft.folders import at_once
from bayesft.robustness import statistics

_FORMAT = 2
# In a CSV file, beside a point's own columns.
_TARGET = "target_stderr"


@dataclass(frozen=True)
class CurvePoint:
    """The score at one sigma, over draws.

    Attributes:
        sigma: the strength of the drift.
        mean: the mean over draws; unbiased for the expected score.
        stderr: its standard error; NaN for a single draw.
        std: the standard deviation of the draws' scores (n - 1). A draw is scored
            on `images / draws` images, so this holds the spread between chips and
            the sampling of images; with many images per draw it is the former.
        quantile05: the 5 % quantile of the chips' scores on all images: what 95 % of the chips
            reach; see `statistics.low_quantile_of_chips`. Where `noise` is not known it is that
            of the draws' scores, which is lower the fewer images a draw has.
        draws: how many draws.
        images: how many images these draws were scored on, all together.
        nonfinite: how many draws had a score that was not finite, and were
            counted as the worst score.
        quantile05_low: the lower end of a 95 % interval for `quantile05`; NaN where the
            draws are too few to give it, fewer than 72. At sigma 0 it is the mean's.
        quantile05_high: its upper end.
        worst: the lowest score of a draw, on the images that it was scored on.
        unseen: how far the mean may be off by what no image has shown, or no chip where
            all draws have the same score; see `statistics.unseen`. It matters near the
            best and the worst score alone.
        strata: how many folds the draws belong to, see `Curve`.
        noise: what the sampling of images adds to the variance of the draws' scores; NaN where
            that is not known, because a score is of a whole batch or a draw has one image.
    """

    sigma: float
    mean: float
    stderr: float
    std: float
    quantile05: float
    draws: int
    images: int
    nonfinite: int = 0
    quantile05_low: float = math.nan
    quantile05_high: float = math.nan
    worst: float = math.nan
    unseen: float = 0.0
    strata: int = 1
    noise: float = math.nan

    @classmethod
    def from_scores(
        cls,
        sigma: float,
        scores: Sequence[float | None],
        *,
        images: int,
        nonfinite: int = 0,
        strata: int = 1,
        worst_score: float = 0.0,
        best_score: float = 1.0,
        noise: float = math.nan,
    ) -> "CurvePoint":
        """Summarise one score per draw, gaps None; `images` counts all draws together."""
        [row] = statistics.as_array([scores])
        there = [score for score in scores if score is not None]
        mean, std = statistics.mean(row, strata), statistics.std(row, strata)
        stderr = statistics.stderr(row, strata)
        tried = statistics.tries(len(there), images, sigma=sigma, agree=std == 0)
        if sigma == 0 and noise > 0:
            # All chips are one, and what differs is the images.
            margin = statistics.student_margin(stderr, len(there) - strata)
            quantile, low, high = mean, mean - margin, mean + margin
        else:
            quantile, low, high = statistics.low_quantile_of_chips(row, 0.05, noise, strata)
        return cls(
            sigma=sigma,
            mean=mean,
            stderr=stderr,
            std=std,
            quantile05=quantile,
            draws=len(there),
            images=images,
            nonfinite=nonfinite,
            # There are no scores beyond the worst and the best.
            quantile05_low=max(low, min(worst_score, quantile)),
            quantile05_high=min(high, max(best_score, quantile)),
            worst=min(there),
            unseen=statistics.unseen(mean, tried, worst=worst_score, best=best_score),
            strata=strata,
            noise=noise,
        )

    def interval(self, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        """Return an interval of confidence for the mean; NaN for a single draw.

        It is Student's, wider by what no image has shown: ten images that were all
        right do not make a score of 1 certain. What a part p of the chips does is seen from
        about 3/p draws on; where a few chips fail, and fewer draws met none of them, the
        interval does not know of them. Of a few draws of skewed scores it is too narrow.

        Args:
            confidence: between 0 and 1.
        """
        degrees = self.draws - self.strata
        return statistics.interval(self.mean, self.stderr, degrees, confidence, unseen=self.unseen)


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
        rows = [(f"{p.sigma:g}", p.mean, p.stderr, f"{p.draws:,} draws") for p in self.points]
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
        content = {
            "format": _FORMAT,
            "seed": self.seed,
            "strata": self.strata,
            "target_stderr": self.target_stderr,
            "drift": self.drift,
            "points": [_without_nan(asdict(point)) for point in self.points],
            "scores": self.scores,
        }
        with _whole(path) as temporary:
            temporary.write_text(
                json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def from_json(cls, path: str | Path) -> "Curve":
        """Read what `to_json` wrote.

        Raises:
            SettingError: the file is not such a curve.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            points = tuple(CurvePoint(**_with_nan(point)) for point in content["points"])
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
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(path, error) from error

    def to_csv(self, path: str | Path) -> None:
        """Write the summary, one row per sigma, for a spreadsheet.

        Raises:
            SettingError: there is no such folder.
        """
        with _whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*(field.name for field in fields(CurvePoint)), _TARGET])
            writer.writeheader()
            writer.writerows(
                {**asdict(point), _TARGET: self.target_stderr} for point in self.points
            )

    @classmethod
    def from_csv(cls, path: str | Path) -> "Curve":
        """Read what `to_csv` wrote: the points, and the standard error that was asked for.

        Raises:
            SettingError: the file is not such a curve.
        """
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            points = tuple(_point_from_row(row) for row in rows)
            # A file of an earlier version has none.
            target = rows[0].get(_TARGET) if rows else None
            strata = points[0].strata if points else 1
            return cls(points, strata=strata, target_stderr=float(target) if target else None)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error


def _without_nan(point: dict) -> dict:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in point.items()}


def _with_nan(point: dict) -> dict:
    return {k: math.nan if v is None else v for k, v in point.items()}


def _point_from_row(row: dict[str, str]) -> CurvePoint:
    return CurvePoint(**{f.name: f.type(row[f.name]) for f in fields(CurvePoint) if f.name in row})


def _unreadable(path: str | Path, error: Exception) -> SettingError:
    return SettingError(
        f"{path} is not a curve that BayesFT wrote ({type(error).__name__}: {error}). "
        "Expected the output of `Curve.to_json` or `Curve.to_csv`."
    )


@contextmanager
def _whole(path: str | Path) -> Iterator[Path]:
    """Give a file to write to, which is `path` at the end: a reader never sees half of it."""
    path = Path(path)
    if not path.parent.is_dir():
        raise SettingError(
            f"There is no folder {path.parent} to write {path.name} to. Make it first, or choose "
            "another."
        )
    with at_once(path) as temporary:
        yield temporary
