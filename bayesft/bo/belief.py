"""What trials say of a space: their rows, and the Gaussian processes fitted to them."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bayesft.bo.constraint import Constraint
from bayesft.bo.errors import OptimizerError, SpaceError
from bayesft.bo.isolation import derive_seed, isolated
from bayesft.bo.space import Real, Space
from bayesft.bo.surrogate import Surrogate, fit, posterior
from bayesft.bo.trial import Trial
from bayesft.bo.winsorize import winsorized

PROGRESS = "progress"
"""The name of the dimension that a search while training adds to its surrogate."""


class Belief:
    """The surrogates of a search: of the value, and of each constraint's slack.

    Args:
        space: What can be chosen.
        sign: -1 if the value is minimised, else 1.
        seed: Of the fits.
        constraints: What the best trial must keep to.
        changing: Whether each trial's `progress` is one more input.

    Attributes:
        surface: The space, with the progress if there is one.

    Raises:
        OptimizerError: The space has a dimension of the progress's name.
    """

    def __init__(
        self,
        space: Space,
        *,
        sign: float,
        seed: int,
        constraints: Sequence[Constraint],
        changing: bool,
    ) -> None:
        if changing and PROGRESS in space.dimensions:
            raise OptimizerError(
                f"The space has a dimension {PROGRESS!r}, which is what a search while training "
                "calls how far that has come. Give the dimension another name."
            )
        self.space = space
        self.surface = Space({**space.dimensions, PROGRESS: Real(0.0, 1.0)}) if changing else space
        self.changing = changing
        self._sign, self._seed, self._constraints = sign, seed, constraints
        self._trials: tuple[Trial, ...] = ()
        self._surrogates: tuple[Surrogate, ...] = ()

    def rows(self, points: Iterable[Mapping[str, Any]]) -> Tensor:
        """Return the n x d rows of n points."""
        rows = [self.space.encode(params) for params in points]
        return _tensor(rows).reshape(len(rows), self.space.width)

    def inputs(self, trials: Iterable[Trial], progress: float | None = None) -> Tensor:
        """Return what the surrogates see: rows, with each trial's progress or a common one."""
        points = [self.on_surface(trial, progress).params for trial in trials]
        rows = [self.surface.encode(params) for params in points]
        return _tensor(rows).reshape(len(rows), self.surface.width)

    def on_surface(self, trial: Trial, progress: float | None = None) -> Trial:
        """Return a trial whose point lies in `surface`, at its own progress or another."""
        if not self.changing:
            return trial
        moment = trial.progress if progress is None else progress
        return replace(trial, params={**trial.params, PROGRESS: moment})

    def winsorized(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials with the values that the surrogate is fitted to.

        Those far worse than all others are drawn up to them (see `winsorize.winsorized`), but
        not where values change: there the first ones are the worst, and tell of the trend.
        """
        if self.changing:
            return list(trials)
        finished = [trial for trial in trials if trial.state == "finished"]
        scores = iter(winsorized([self._sign * trial.value for trial in finished]))
        return [
            replace(trial, value=self._sign * next(scores)) if trial.state == "finished" else trial
            for trial in trials
        ]

    def fitted(self, trials: Sequence[Trial]) -> tuple[Surrogate, ...]:
        """Fit to trials that have ended, once for as long as these stay the same.

        A finished one has the value that `winsorized` gives it, a failed one the worst of these.

        Returns:
            The surrogate of the value, then those of the constraints' slacks.

        Raises:
            SurrogateError: The marginal likelihood could not be maximised.
        """
        trials = tuple(trials)
        if not self._surrogates or trials != self._trials:
            self._surrogates, self._trials = self._fit_all(trials), trials
        # GPyTorch keeps what it has computed in the model; a copy each time makes
        # an answer independent of the questions before it, to the bit.
        return copy.deepcopy(self._surrogates)

    def worth(
        self, points: Sequence[Trial], trials: Sequence[Trial], progress: float | None = None
    ) -> Tensor:
        """Return the posterior means at the trials `points`, given all of `trials`.

        Each is of a trial trained as the point was, from scratch or from another's weights.
        Where the value changes: at `progress`, or on the average over that of `trials`.
        """
        moments = [progress]
        if self.changing and progress is None:
            moments = [trial.progress for trial in trials]
        inputs = torch.cat([self.inputs(points, moment) for moment in moments])
        surrogate = self.fitted(trials)[0]
        means = posterior(surrogate, inputs)[0].reshape(len(moments), len(points)).mean(0)
        return means + surrogate.step * torch.tensor([point.is_from_scratch for point in points])

    def _fit_all(self, trials: Sequence[Trial]) -> tuple[Surrogate, ...]:
        trials = self.winsorized(trials)
        finished = [trial for trial in trials if trial.state == "finished"]
        worst = min(self._sign * trial.value for trial in finished)
        scores = [
            worst if trial.state == "failed" else self._sign * trial.value for trial in trials
        ]
        seed = derive_seed(self._seed, "fit", len(trials))
        stderrs = [trial.stderr for trial in trials]
        fits = [self._fit(trials, scores, stderrs, seed, warpable=not self.changing)]
        for constraint in self._constraints:
            slacks = _slacks(constraint, finished)
            # Of one value nothing can be learnt.
            if len(slacks) > 1:
                stderrs = [constraint.stderr(trial.extra) for trial in finished]
                fits.append(self._fit(finished, slacks, stderrs, seed))
        return tuple(fits)

    def _fit(
        self,
        trials: Sequence[Trial],
        values: Sequence[float],
        stderrs: Sequence[float | None],
        seed: int,
        warpable: bool = False,
    ) -> Surrogate:
        errors = [float("nan") if stderr is None else stderr for stderr in stderrs]
        # A failed one has no value of its own.
        apart = torch.tensor([t.state == "finished" and t.is_from_scratch for t in trials])
        warm = any(t.state == "finished" and not t.is_from_scratch for t in trials)
        with isolated(seed):
            inputs = self.inputs(trials)
            return fit(
                inputs,
                _tensor(list(values)),
                _tensor(errors),
                changing=self.changing,
                warpable=warpable,
                apart=apart if warm and apart.any() else None,
            )


def encode(space: Space, params: Mapping[str, Any], what: str) -> list[float]:
    """Return a point's row.

    Raises:
        OptimizerError: The point is not in the space; the message begins with `what`.
    """
    try:
        return space.encode(params)
    except SpaceError as error:
        raise OptimizerError(f"{what}: {error}") from error


def _slacks(constraint: Constraint, finished: Sequence[Trial]) -> list[float]:
    """Return by how much each trial keeps to a limit; [] if nothing is known of it.

    What was no finite number keeps to no limit: it counts as the worst that was measured, or,
    if all keep to it, as missing the limit by as much as they differ.
    """
    slacks = [constraint.slack(trial.extra) for trial in finished]
    known = [slack for slack in slacks if slack is not None]
    if not known:
        return []
    worst, best = min(known), max(known)
    if worst >= 0:
        worst = -((best - worst) or best or 1.0)
    return [worst if slack is None else slack for slack in slacks]


def _tensor(numbers: list[Any]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")
