"""A search for dropout rates inside one training: which vector when."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from bayesft.bo import Real, Space, Trial
from bayesft.bo.initial import initial_trials
from bayesft.bo.optimizer import Optimizer
from bayesft.errors import SettingError
from bayesft.methods.phases import Phases
from bayesft.models.dropout import Rates, dropout_vector

# A trial's place in the Gaussian process is how far the search has come when it is
# measured: 0 at the end of the warm-up, 1 where the last phase begins.


class Alternating:
    """The vectors of a training that alternates between weights and rates.

    After the warm-up each trial is a segment of the training with a vector of its own. What
    it is worth is measured at the segment's end, on weights that all trials before have
    shaped. The last phase keeps to the best trial's vector.

    All of its state is the trials: one that is rebuilt from them goes on in the same way.

    Args:
        sites: the names of the rates, in order.
        phases: of the training.
        low: the smallest rate that is searched.
        high: the largest.
        warmup: the vector of the warm-up.
        start: vectors to try first.
        n_initial: trials before the Gaussian process is asked; None for half of all, from 2 to 8.
        seed: of the search.
        changing: whether the Gaussian process is told how far the search had come at each
            trial; without, an old observation counts as much as a new one.
        undo_below: a trial is undone if it measures less than this part of the last one
            that was kept; 0 for never.
        keep_weights: the part of the weights that a trial, and the last phase, starts with.

    Attributes:
        optimizer: what is asked and told.
        incumbent: the trial that the last phase keeps to, None before.

    Raises:
        SettingError: rates that do not fit the sites, or lie outside of what is searched.
    """

    def __init__(
        self,
        sites: Sequence[str],
        phases: Phases,
        *,
        low: float = 0.0,
        high: float = 0.8,
        warmup: Rates = 0.0,
        start: Sequence[Rates] = (0.2,),
        n_initial: int | None = None,
        seed: int = 0,
        changing: bool = True,
        undo_below: float = 0.9,
        keep_weights: float = 0.3,
    ) -> None:
        if not 0 <= low < high < 1:
            raise SettingError(
                "Expected `low` and `high` to be rates with 0 <= low < high < 1, but got "
                f"{low!r} and {high!r}."
            )
        if not 0 <= undo_below < 1:
            raise SettingError(f"Expected `undo_below` to be in [0, 1), but got {undo_below!r}.")
        if not 0 <= keep_weights <= 1:
            raise SettingError(
                f"Expected `keep_weights` to be from 0 to 1, but got {keep_weights!r}."
            )
        self.phases = phases
        self.keep_weights = keep_weights
        self.undo_below = undo_below
        self.names = tuple(f"model.dropout[{site}]" for site in sites)
        self.space = Space({name: Real(low, high) for name in self.names})
        self.warmup = dropout_vector(warmup, sites)
        self.seed = seed
        self.optimizer = Optimizer(
            self.space,
            n_initial=(
                initial_trials(phases.trials, changing=True) if n_initial is None else n_initial
            ),
            seed=seed,
            start=[self._point(dropout_vector(rates, sites)) for rates in start],
            changing=changing,
        )
        self.incumbent: Trial | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far; the last can be running."""
        return self.optimizer.trials

    @property
    def running(self) -> Trial | None:
        """The trial that is being trained, if the search is on."""
        return next(iter(self.optimizer.pending), None)

    @property
    def vector(self) -> tuple[float, ...]:
        """The rates to train with now."""
        trial = self.incumbent or self.running
        return self.warmup if trial is None else self.vector_of(trial)

    @property
    def due(self) -> int | None:
        """After how many steps of the training something is to be done; None for never."""
        if self.incumbent is not None:
            return None
        running = self.running
        return self.phases.warmup if running is None else self.phases.measured_at(running.number)

    @property
    def kept_part(self) -> float:
        """The part of the weights to keep where a trial or the last phase begins.

        All of them if the last phase is shorter than a trial: what went back towards the
        initial weights could not be learnt again.
        """
        left = self.phases.total - self.phases.search_end
        short = self.incumbent is not None and left < self.phases.every
        return 1.0 if short else self.keep_weights

    def vector_of(self, trial: Trial) -> tuple[float, ...]:
        """Return the rates of a trial, in the order of the sites."""
        return tuple(trial.params[name] for name in self.names)

    def suggest(self) -> dict[str, Any] | None:
        """Return the next trial's point, or None if there are no more."""
        number = self.optimizer.next_number
        if number >= self.phases.trials:
            return None
        return self.optimizer.ask(progress=self._progress(number))[0]

    def begin(self, point: Mapping[str, Any]) -> Trial:
        """Take `point` as the next trial's, which trains from now on.

        In a training of several processes one suggests, and all of them begin.
        """
        running = self.running
        number = self.optimizer.next_number if running is None else running.number
        trial = Trial(number, dict(point), started=time.time(), progress=self._progress(number))
        self.optimizer.tell(trial)
        return trial

    def end(self, value: float, stderr: float) -> Trial:
        """Take in what the running trial was worth, and return it as it is now.

        Args:
            value: what was measured.
            stderr: its standard error; what is none, as that of one draw, is not known.
        """
        running = self.running
        seconds = time.time() - running.started
        known = stderr if math.isfinite(stderr) else None
        ended = replace(
            running, state="finished", value=value, stderr=known, seconds=seconds, folder="."
        )
        self.optimizer.tell(ended)
        return ended

    def undo(self, reason: str) -> Trial:
        """End the running trial without a value: the weights before it are to come back."""
        running = self.running
        seconds = time.time() - running.started
        ended = replace(running, state="failed", reason=reason, seconds=seconds, folder=".")
        self.optimizer.tell(ended)
        return ended

    def too_bad(self, value: float) -> str | None:
        """Say why a trial that measured `value` is to be undone, or None if it is not.

        That is when the value is less than `undo_below` times the last kept trial's, or as
        far below it if that is negative. A vector that ruins the weights would otherwise
        ruin all trials after it.
        """
        kept = [trial for trial in self.trials if trial.state == "finished"]
        if not kept or not self.undo_below:
            return None
        last = kept[-1].value
        least = last - (1 - self.undo_below) * abs(last)
        if value >= least:
            return None
        return (
            f"measured {value:.4f}, less than {least:.4f}, as low as one may be after the "
            f"{last:.4f} of trial {kept[-1].number}: the weights from before it came back"
        )

    def best(self) -> Trial | None:
        """Return the trial to believe in, or None if none has been kept."""
        return self.optimizer.best()

    def conclude(self, number: int) -> None:
        """Keep to trial `number` from now on."""
        self.incumbent = next(trial for trial in self.trials if trial.number == number)

    def state(self) -> dict[str, Any]:
        """Return everything as plain data, for a checkpoint."""
        return {
            "settings": self._settings(),
            "trials": [asdict(trial) for trial in self.trials],
            "incumbent": None if self.incumbent is None else self.incumbent.number,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            SettingError: it is of a search with other settings.
        """
        ours, theirs = self._settings(), state["settings"]
        lines = [
            f"{name}: {ours.get(name)} here, {theirs.get(name)} in the checkpoint"
            for name in {**ours, **theirs}
            if ours.get(name) != theirs.get(name)
        ]
        if lines:
            raise SettingError(
                "The checkpoint is of a training that searches in another way:\n  "
                + "\n  ".join(lines)
                + "\nGo on with the settings of that training, which stand in its config.yaml."
            )
        for trial in state["trials"]:
            self.optimizer.tell(Trial(**trial))
        if state["incumbent"] is not None:
            self.conclude(state["incumbent"])

    def _settings(self) -> dict[str, Any]:
        optimizer = self.optimizer
        return {
            "phases": asdict(self.phases),
            "space": self.space.to_json(),
            "n_initial": optimizer.n_initial,
            "seed": self.seed,
            "changing": optimizer.changing,
            "undo_below": self.undo_below,
            "keep_weights": self.keep_weights,
            "warmup": list(self.warmup),
            "start": [list(point.values()) for point in optimizer.start],
        }

    def _progress(self, number: int) -> float | None:
        return (number + 1) / self.phases.trials if self.optimizer.changing else None

    def _point(self, rates: Sequence[float]) -> dict[str, float]:
        return dict(zip(self.names, rates, strict=True))
