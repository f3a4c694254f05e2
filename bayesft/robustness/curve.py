"""The result of a drift evaluation: the score at each sigma, with its error."""

import csv
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bayesft.errors import SettingError

_FORMAT = 1


@dataclass(frozen=True)
class CurvePoint:
    """The score at one sigma, over draws.

    Attributes:
        sigma: the strength of the drift.
        mean: the mean over draws; unbiased for the expected score.
        stderr: its standard error, `std / sqrt(draws)`; NaN for a single draw.
        std: the standard deviation of the draws' scores (n - 1). A draw is scored
            on `images / draws` images, so this holds the spread between chips and
            the sampling of images; with many images per draw it is the former.
        quantile05: the 5 % quantile of the draws' scores (linear interpolation),
            with the same remark.
        draws: how many draws.
        images: how many images went forward, over all draws.
        nonfinite: how many draws had a score that was not finite, and were
            counted as the worst score.
    """

    sigma: float
    mean: float
    stderr: float
    std: float
    quantile05: float
    draws: int
    images: int
    nonfinite: int = 0

    @classmethod
    def from_scores(
        cls, sigma: float, scores: Sequence[float], *, images: int, nonfinite: int = 0
    ) -> "CurvePoint":
        """Summarise one score per draw; `images` counts all of them together."""
        draws = len(scores)
        mean = math.fsum(scores) / draws
        std = _std(scores, mean)
        return cls(
            sigma=sigma,
            mean=mean,
            stderr=std / math.sqrt(draws),
            std=std,
            quantile05=_quantile(scores, 0.05),
            draws=draws,
            images=images,
            nonfinite=nonfinite,
        )


@dataclass(frozen=True)
class Curve:
    """The score against sigma.

    Attributes:
        points: one per sigma, in increasing order of sigma.
        scores: for each point, the score of every draw. The draws are the same
            chips and images at each sigma, so `scores[i][k]` and `scores[j][k]`
            are paired. None in a curve read from CSV, which holds the summary alone.
        seed: of the chips and images; curves of one seed can be compared in pairs.

    Raises:
        SettingError: no points, sigmas not increasing, or scores of another shape.
    """

    points: tuple[CurvePoint, ...]
    scores: tuple[tuple[float, ...], ...] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        sigmas = self.sigmas
        if not sigmas or any(a >= b for a, b in itertools.pairwise(sigmas)):
            raise SettingError(f"A curve needs sigmas in increasing order, but got {sigmas}.")
        if self.scores is not None and [len(row) for row in self.scores] != [
            point.draws for point in self.points
        ]:
            raise SettingError("A curve needs one score per draw at each of its points.")

    @property
    def sigmas(self) -> tuple[float, ...]:
        return tuple(point.sigma for point in self.points)

    @property
    def mean(self) -> float:
        """The mean over sigmas: the objective of a search."""
        return math.fsum(point.mean for point in self.points) / len(self.points)

    @property
    def stderr(self) -> float:
        """The standard error of `mean`.

        The sigmas share their draws, so their errors are not independent: the
        spread is taken over the draws' own means. A curve without scores gives
        the mean of the points' standard errors, which is an upper bound.
        """
        if self.scores is None:
            return math.fsum(point.stderr for point in self.points) / len(self.points)
        per_draw = _mean_over_sigmas(self.scores)
        return _std(per_draw, math.fsum(per_draw) / len(per_draw)) / math.sqrt(len(per_draw))

    def at(self, sigmas: Sequence[float]) -> "Curve":
        """Return the part of the curve at `sigmas`.

        Raises:
            SettingError: one of them was not evaluated.
        """
        missing = [sigma for sigma in sigmas if sigma not in self.sigmas]
        if missing:
            raise SettingError(f"The curve has no value at sigma {missing}; it has {self.sigmas}.")
        keep = [i for i, sigma in enumerate(self.sigmas) if sigma in sigmas]
        scores = None if self.scores is None else tuple(self.scores[i] for i in keep)
        return Curve(tuple(self.points[i] for i in keep), scores, self.seed)

    def to_json(self, path: str | Path) -> None:
        """Write everything, the draws' scores included."""
        content = {
            "format": _FORMAT,
            "seed": self.seed,
            "points": [_without_nan(asdict(point)) for point in self.points],
            "scores": self.scores,
        }
        Path(path).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | Path) -> "Curve":
        """Read what `to_json` wrote.

        Raises:
            SettingError: the file is not such a curve.
        """
        try:
            content = json.loads(Path(path).read_text())
            points = tuple(CurvePoint(**_with_nan(point)) for point in content["points"])
            scores = content["scores"]
            if scores is not None:
                scores = tuple(tuple(row) for row in scores)
            return cls(points, scores, content["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error

    def to_csv(self, path: str | Path) -> None:
        """Write the summary, one row per sigma, for a spreadsheet."""
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(CurvePoint)])
            writer.writeheader()
            writer.writerows(asdict(point) for point in self.points)

    @classmethod
    def from_csv(cls, path: str | Path) -> "Curve":
        """Read what `to_csv` wrote; `scores` and `seed` are not in it.

        Raises:
            SettingError: the file is not such a curve.
        """
        try:
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            return cls(tuple(_point_from_row(row) for row in rows))
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error


@dataclass(frozen=True)
class Difference:
    """A difference of two mean scores and its standard error."""

    value: float
    stderr: float


def paired_difference(curve: Curve, baseline: Curve) -> Difference:
    """Return `curve.mean - baseline.mean` with the standard error of the difference.

    The two curves were measured on the same chips and images, so the difference
    is taken draw by draw: what a chip does to both networks cancels out.

    Raises:
        SettingError: the curves do not share seed, sigmas and draws, or hold no scores.
    """
    if curve.scores is None or baseline.scores is None:
        raise SettingError("A paired difference needs curves with scores: load them from JSON.")
    if (curve.seed, curve.sigmas) != (baseline.seed, baseline.sigmas) or [
        point.draws for point in curve.points
    ] != [point.draws for point in baseline.points]:
        raise SettingError(
            "A paired difference needs the same chips: the curves differ in seed, sigmas or draws "
            f"(seed {curve.seed} and {baseline.seed}, sigmas {curve.sigmas} and {baseline.sigmas})."
        )
    ours, theirs = _mean_over_sigmas(curve.scores), _mean_over_sigmas(baseline.scores)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = math.fsum(differences) / len(differences)
    return Difference(mean, _std(differences, mean) / math.sqrt(len(differences)))


def _mean_over_sigmas(scores: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(column) for column in zip(*scores, strict=True)]


def _std(values: Sequence[float], mean: float) -> float:
    if len(values) < 2:
        return math.nan
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def _without_nan(point: dict) -> dict:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in point.items()}


def _with_nan(point: dict) -> dict:
    return {k: math.nan if v is None else v for k, v in point.items()}


def _point_from_row(row: dict[str, str]) -> CurvePoint:
    return CurvePoint(**{f.name: f.type(row[f.name]) for f in fields(CurvePoint)})


def _unreadable(path: str | Path, error: Exception) -> SettingError:
    return SettingError(
        f"{path} is not a curve that BayesFT wrote ({type(error).__name__}: {error}). "
        "Expected the output of `Curve.to_json` or `Curve.to_csv`."
    )
