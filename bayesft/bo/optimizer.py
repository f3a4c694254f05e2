"""The optimiser: ask for points, tell what came of them.

Its only state is the trials. What it asks next is a function of those, the
space, the settings and the seed, so that an optimiser rebuilt from a journal
goes on exactly as the one that wrote it.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from bayesft.bo.acquisition import suggest
from bayesft.bo.belief import Belief, encode
from bayesft.bo.constraint import Constraint, least_violating
from bayesft.bo.errors import (
    InsightError,
    OptimizerError,
    OptimizerWarning,
    SurrogateError,
)
from bayesft.bo.explain import explain
from bayesft.bo.initial import MOST
from bayesft.bo.insight import Insight
from bayesft.bo.isolation import derive_seed, isolated
from bayesft.bo.sobol import sobol_row
from bayesft.bo.space import Space
from bayesft.bo.surrogate import FIT_ERRORS
from bayesft.bo.trial import Trial

# Of posterior means; those of one point in two trials differ by it.
ROUNDING = 1e-9


class Optimizer:
    """Bayesian optimisation of a noisy value over a space.

    The first points are those of `start`, then a scrambled Sobol sequence up to
    `n_initial`, then those where a Gaussian process expects to improve.

    A failed trial enters the Gaussian process with the worst finished value, so
    that the search leaves its surroundings; one far worse than all others is drawn up to
    them (see `winsorize.winsorized`), so that a diverged loss hides nothing; a running one
    enters as pending, so that no two trials of a batch look at the same place. `ask(4)` asks the
    same four points as four times `ask()`.

    Values may have long tails, or their top be a small part of the space: once there are
    enough, their scale is warped where that makes their function simpler (see
    `surrogate.fit`), and a mean of beliefs is then a median. What is told is in the
    values' units.

    Trials that took up another one, such as by starting from its weights, may all be worth more
    or less than those from scratch, because they were trained for fewer epochs or are further on.
    By how much is learnt with the rest (see `step.Step`), and trials are compared as they are.

    In a search while one network trains, what a point is worth changes as the training
    goes on: `changing` makes each trial's `progress` one more input of the Gaussian
    process (as in Bogunovic, Scarlett, Cevher, "Time-Varying Gaussian Process Bandit
    Optimization", AISTATS 2016, but with a trend that the points share, and length
    scales that are learnt: how fast observations grow stale comes from the trials).
    Points are then asked, and the best chosen, for a given progress.

    Example:
        >>> optimizer = Optimizer(Space({"rate": Real(0, 0.8)}), seed=1)
        >>> for number in range(20):
        ...     [params] = optimizer.ask()
        ...     value = -((params["rate"] - 0.3) ** 2)
        ...     optimizer.tell(Trial(number, params, state="finished", value=value))
        >>> round(optimizer.best().params["rate"], 1)
        0.3

    Args:
        space: What can be chosen.
        direction: `maximize` or `minimize` the value.
        n_initial: Trials before the Gaussian process is asked, those of `start`
            included.
        seed: Of everything random.
        start: Points to ask first, in that order; all are asked, also beyond
            `n_initial`.
        constraints: What the best trial must keep to.
        changing: Whether the value changes as a training that the trials share goes on.
        trials: Trials of an earlier run, to go on from.

    Raises:
        OptimizerError: A setting has a value that it cannot have.
    """

    def __init__(
        self,
        space: Space,
        *,
        direction: Literal["maximize", "minimize"] = "maximize",
        n_initial: int = MOST,
        seed: int = 0,
        start: Sequence[Mapping[str, Any]] = (),
        constraints: Sequence[Constraint] = (),
        changing: bool = False,
        trials: Iterable[Trial] = (),
    ) -> None:
        if direction not in ("maximize", "minimize"):
            raise OptimizerError(
                f"Expected `direction` to be maximize or minimize, but got {direction!r}."
            )
        if not isinstance(n_initial, int) or isinstance(n_initial, bool) or n_initial < 1:
            raise OptimizerError(
                f"Expected `n_initial` to be an integer larger than 0, but got {n_initial!r}."
            )
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise OptimizerError(f"Expected `seed` to be an integer, but got {seed!r}.")
        for index, params in enumerate(start):
            encode(space, params, f"`start`, point {index}")
        self.space = space
        self.direction = direction
        self.n_initial = n_initial
        self.seed = seed
        self.start = tuple(dict(params) for params in start)
        self.constraints = tuple(constraints)
        self.changing = changing
        self._belief = Belief(
            space, sign=self._sign, seed=seed, constraints=self.constraints, changing=changing
        )
        self._trials: dict[int, Trial] = {}
        self._next: tuple[float | None, dict[str, Any], float | None] | None = None
        for trial in trials:
            self.tell(trial)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, by number."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    @property
    def pending(self) -> tuple[Trial, ...]:
        """The trials that were asked or told as running, and have not ended."""
        return tuple(trial for trial in self.trials if trial.state == "running")

    @property
    def next_number(self) -> int:
        """Number of the trial that the next `ask` starts."""
        return max(self._trials, default=-1) + 1

    def ask(self, n: int = 1, *, progress: float | None = None) -> list[dict[str, Any]]:
        """Return the points of the next n trials and count them as running.

        Their numbers are `next_number`, as it is before the call, and those after. Where
        whatever the Gaussian process would choose was tried already, as in a small space when
        all of it was, the point is a Sobol one.

        Args:
            n: How many.
            progress: From 0 to 1, how far the training will have come when they are
                measured, if the value is `changing`.

        Raises:
            OptimizerError: `n` is no integer larger than 0, or `progress` is missing,
                or given where the value does not change.

        Warns:
            OptimizerWarning: The Gaussian process failed; the point is a Sobol one.
        """
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise OptimizerError(f"Expected `n` to be an integer larger than 0, but got {n!r}.")
        points = []
        for _ in range(n):
            number = self.next_number
            params = self._suggestion(progress)[0]
            self.tell(Trial(number, params, progress=progress))
            points.append(dict(params))
        return points

    def tell(self, trial: Trial) -> None:
        """Take in a trial in any state: one that was asked, or one from elsewhere.

        Raises:
            OptimizerError: It is finished already, was asked with another point,
                its point is not in the space, or it lacks a `progress` that is needed.
        """
        self._check_progress(trial.progress)
        row = encode(self.space, trial.params, f"Trial {trial.number}")
        before = self._trials.get(trial.number)
        if before is not None and before.state == "finished":
            raise OptimizerError(f"Trial {trial.number} is already finished; it can be told once.")
        if before is not None and self.space.encode(before.params) != row:
            raise OptimizerError(
                f"Trial {trial.number}: expected the point that was asked, {before.params}, "
                f"but got {trial.params}."
            )
        self._next = None
        self._trials[trial.number] = trial

    def expected_improvement(self, *, progress: float | None = None) -> float | None:
        """Return what the next trial is expected to gain over the best, in units of the value.

        None while the next trial is not one of the Gaussian process's. Asking for the
        trial afterwards costs nothing more.
        """
        return self._suggestion(progress)[1]

    def best(self, *, progress: float | None = None) -> Trial | None:
        """Return the finished trial to believe in, or None if there is none.

        It is one that keeps to the constraints, if any does, and otherwise the one that
        misses them least. With `n_initial` finished trials (at least 2) it is the one with the best
        posterior mean (median), since the best observation is most of all the luckiest;
        with fewer the one with the best value. Ties go to the lowest number.

        Args:
            progress: If the value is `changing`: when the point is to be best. On the
                average over the progress of all trials, if not given: what is believed of
                one moment leans on the few trials around it.
        """
        finished = [trial for trial in self.trials if trial.state == "finished"]
        candidates = least_violating(finished, self.constraints)
        if progress is not None:
            self._check_progress(progress)
        if not candidates:
            return None
        scores = [self._sign * trial.value for trial in candidates]
        if len(finished) >= max(2, self.n_initial):
            with isolated(derive_seed(self.seed, "best")):
                try:
                    scores = self._belief.worth(candidates, self._ended(), progress).tolist()
                except (*FIT_ERRORS, SurrogateError) as error:
                    _warn(f"The best trial is the one with the best value: {error}")
        top = max(scores)
        rounding = ROUNDING * max(top - min(scores), abs(top))
        return next(
            c for c, score in zip(candidates, scores, strict=True) if score >= top - rounding
        )

    def nearest(self, params: Mapping[str, Any]) -> Trial | None:
        """Return the finished trial whose row is nearest to a point's; None if there is none."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        if not finished:
            return None
        encode(self.space, params, "The point")
        rows = self._belief.rows([params, *(trial.params for trial in finished)])
        distances = (rows[1:] - rows[0]).norm(dim=1)
        return finished[int(distances.argmin())]

    def insight(self) -> Insight:
        """Return which dimensions matter, and how well the Gaussian process predicts.

        What is asked next does not depend on it.

        Raises:
            InsightError: There are fewer than `n_initial` (at least 4) finished
                trials, or all have the same value.
            SurrogateError: The Gaussian process failed.
        """
        finished = sum(trial.state == "finished" for trial in self.trials)
        least = max(4, self.n_initial)
        if finished < least:
            raise InsightError(f"{finished} finished trials, at least {least} are needed")
        surrogate = self._belief.fitted(self._ended())[0]
        best = self.best()
        seed = derive_seed(self.seed, "insight")
        with isolated(seed):
            seen = self._belief.winsorized(self._ended())
            ended = [self._belief.on_surface(trial) for trial in seen]
            # Slices of a surface that changes are through the present.
            now = max(trial.progress for trial in self.trials) if self.changing else None
            best = self._belief.on_surface(best, now)
            return explain(surrogate, self._belief.surface, ended, best, sign=self._sign, seed=seed)

    @property
    def _sign(self) -> float:
        return 1.0 if self.direction == "maximize" else -1.0

    def _suggestion(self, progress: float | None) -> tuple[dict[str, Any], float | None]:
        """Return the next trial's point and its expected improvement, found once."""
        self._check_progress(progress)
        if self._next is None or self._next[0] != progress:
            number = self.next_number
            if number < len(self.start):
                found = dict(self.start[number]), None
            else:
                found = self._new(number, progress)
            self._next = progress, *found
        return self._next[1:]

    def _new(self, number: int, progress: float | None) -> tuple[dict[str, Any], float | None]:
        finished = sum(trial.state == "finished" for trial in self.trials)
        if number >= self.n_initial and finished >= 2:
            seed = derive_seed(self.seed, "ask", number)
            with isolated(seed):
                ended = self._ended()
                observed, pending = self._belief.inputs(ended), self._belief.inputs(self.pending)
                try:
                    surrogate, *slacks = self._belief.fitted(ended)
                    found = suggest(
                        surrogate, self.space, observed, pending, seed, slacks, progress
                    )
                except (*FIT_ERRORS, SurrogateError) as error:
                    _warn(f"Trial {number} is a Sobol point: {error}")
                    found = None
            if found is not None:
                row, improvement = found
                return self.space.decode(row), improvement
        seed = derive_seed(self.seed, "sobol")
        with isolated(seed):
            taken = self._belief.rows(trial.params for trial in self.trials)
            # From its beginning: the first points of the sequence are the evenest.
            row = sobol_row(self.space, number - len(self.start), taken, seed)
        return self.space.decode(row), None

    def _ended(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state != "running"]

    def _check_progress(self, progress: float | None) -> None:
        if self.changing and progress is None:
            raise OptimizerError(
                "The value changes as a training goes on: expected `progress`, from 0 to 1, but "
                "got None."
            )
        if not self.changing and progress is not None:
            raise OptimizerError(
                f"Expected no `progress`, because the value does not change, but got {progress!r}. "
                "Make the optimiser with changing=True."
            )


def _warn(message: str) -> None:
    warnings.warn(message, OptimizerWarning, stacklevel=4)
