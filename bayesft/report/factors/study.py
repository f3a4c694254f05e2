"""What a factor study can tell: means over seeds, and differences in pairs. Pure numerics.

factor    what is varied: `norm`
level     one value of a factor: `batch`
setting   where a network leaves the baseline: (("norm", "batch"),); the baseline is ()
score     of one run: its mean over the sigmas
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bayesft.errors import SettingError
from bayesft.report.estimate import Estimate
from bayesft.robustness import Curve, paired_difference

Level = str | int | float | bool | None
Setting = tuple[tuple[str, Level], ...]

BASELINE: Setting = ()

# The order that people expect; levels unknown here come behind, numbers by size.
_ORDER = (
    "none", "dropout", "alpha", "batch", "layer", "group", "instance",
    "relu", "elu", "gelu", "leaky_relu", "tanh",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The curves of a study. The seeds and chips are the same for each setting.

    Attributes:
        baseline: level by factor.
        curves: of the finished runs, by setting and seed.
        sigmas: the strengths that a score is the mean over.
        title: of what a network is scored by.

    Raises:
        SettingError: the baseline has no run, or a setting names an unknown factor.
    """

    baseline: Mapping[str, Level]
    curves: Mapping[Setting, Mapping[int, Curve]]
    sigmas: tuple[float, ...]
    title: str = "accuracy"

    def __post_init__(self) -> None:
        if not self.curves.get(BASELINE):
            raise SettingError(
                "A factor study compares with its baseline, of which there is no finished run."
            )
        unknown = {factor for setting in self.curves for factor, _ in setting} - {*self.baseline}
        if unknown:
            raise SettingError(
                f"The study's factors are {', '.join(self.baseline)}, but a run has a level of "
                f"{', '.join(sorted(unknown))}."
            )

    def settings_of(self, factor: str) -> list[Setting]:
        """Return the settings that leave the baseline in `factor` alone, in order."""
        alone = [s for s in self.curves if [name for name, _ in s] == [factor] and self.curves[s]]
        return sorted(alone, key=lambda setting: _rank(setting[0][1]))

    @property
    def factors(self) -> list[str]:
        """The factors with a level besides the baseline's."""
        return [factor for factor in self.baseline if self.settings_of(factor)]

    @property
    def single(self) -> list[Setting]:
        """The settings that leave the baseline in one factor."""
        return [setting for factor in self.factors for setting in self.settings_of(factor)]

    @property
    def combined(self) -> list[Setting]:
        """The settings that leave it in several at once, which no panel shows."""
        return [setting for setting in self.curves if len(setting) > 1 and self.curves[setting]]

    def scores(self, setting: Setting) -> dict[int, float]:
        """Return the score of each seed."""
        return {seed: c.at(self.sigmas).mean for seed, c in self.curves[setting].items()}

    def mean(self, setting: Setting) -> Estimate:
        """Return the mean score over seeds."""
        curves = [curve.at(self.sigmas) for curve in self.curves[setting].values()]
        return Estimate.of([curve.mean for curve in curves], [curve.stderr for curve in curves])

    def at(self, setting: Setting, sigma: float) -> Estimate:
        """Return the mean score over seeds at one sigma."""
        points = [curve.at([sigma]).points[0] for curve in self.curves[setting].values()]
        return Estimate.of([point.mean for point in points], [point.stderr for point in points])

    def measured_sigmas(self) -> tuple[float, ...]:
        """Return the sigmas of the curves, those outside of the score included."""
        first = next(iter(self.curves[BASELINE].values()))
        every = [curve for curves in self.curves.values() for curve in curves.values()]
        return tuple(s for s in first.sigmas if all(s in curve.sigmas for curve in every))

    def difference(self, setting: Setting, other: Setting = BASELINE) -> Estimate | None:
        """Return how much higher `setting` scores than `other`, over the seeds of both.

        A seed's networks start from the same weights as far as they have the same, and
        see the same batches; what these do to both cancels out. None if they share no seed.
        """
        ours, theirs = self.curves[setting], self.curves[other]
        found = [
            paired_difference(ours[seed].at(self.sigmas), theirs[seed].at(self.sigmas))
            for seed in ours
            if seed in theirs
        ]
        if not found:
            return None
        return Estimate.of([each.value for each in found], [each.stderr for each in found])


def level_name(level: Level) -> str:
    """Return how a level is written."""
    return "none" if level is None else str(level)


def name_of(setting: Setting) -> str:
    """Return how a setting is written: `norm=batch`, or `baseline`."""
    return ", ".join(f"{factor}={level_name(level)}" for factor, level in setting) or "baseline"


def _rank(level: Level) -> tuple[float, str]:
    if isinstance(level, (int, float)):
        return float(level), ""
    known = _ORDER.index(level) if level in _ORDER else len(_ORDER)
    return float(known), level_name(level)
