"""The phases of a training that searches its dropout rates on the way."""

import math
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bayesft.errors import SettingError

# Of a cycle, the part in which the learning rate rises; and the rate that it begins with.
_RISE = 0.3
_FIRST = 0.04


@dataclass(frozen=True)
class Phases:
    """Warm-up, search, and a last phase with the rates that were found.

    The search is divided into `trials` segments of `every` steps; a vector is trained
    with for one segment and measured at its end.

    Args:
        warmup: optimiser steps before the search; 0 for none.
        every: steps of a segment.
        trials: segments.
        total: steps of the training.
    """

    warmup: int
    every: int
    trials: int
    total: int

    @classmethod
    def of_training(
        cls,
        *,
        total_steps: int,
        max_epochs: int,
        warmup: int | float,
        search: int | float,
        trials: int | None = None,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
    ) -> "Phases":
        """Lay the phases out in a training of `total_steps` over `max_epochs`.

        Args:
            total_steps: of the training.
            max_epochs: of the training.
            warmup: epochs as an integer, or a part of the training from 0 to 1 as a float.
            search: the same, of the search; the last phase is what is left.
            trials: how many the search is divided into.
            every_n_epochs: of one trial, in place of `trials`.
            every_n_steps: of one trial, in place of `trials`.

        Raises:
            SettingError: a number is out of range, the search is longer than the training
                or too short, or the length of a trial is given in no way or in several.
        """
        lengths = {
            "trials": trials,
            "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps,
        }
        given = {name: value for name, value in lengths.items() if value is not None}
        if len(given) != 1:
            raise SettingError(
                "Expected one of `trials`, `every_n_epochs` and `every_n_steps`, and null for the "
                f"others, but got {given or 'none'}."
            )
        [(name, value)] = given.items()
        _check_at_least(1, name, value)
        start = _steps("warmup", warmup, total_steps, max_epochs, least=0)
        length = _steps("search", search, total_steps, max_epochs, least=1)
        if start + length > total_steps:
            raise SettingError(
                f"The search would be longer than the training: warmup={warmup} and search="
                f"{search} are {start + length} steps, but the training has {total_steps} in "
                f"trainer.max_epochs={max_epochs}. Train longer, or make one of them smaller."
            )
        if trials is not None:
            every = length // trials
        elif every_n_epochs is not None:
            every = round(every_n_epochs * total_steps / max_epochs)
        else:
            every = every_n_steps
        if not 1 <= every <= length:
            raise SettingError(
                f"The search has {length} steps, too few for {name}={value}. Make search larger, "
                f"or {name} smaller."
            )
        return cls(start, every, length // every if trials is None else trials, total_steps)

    @property
    def search_end(self) -> int:
        """The first step of the last phase."""
        return self.warmup + self.trials * self.every

    def measured_at(self, trial: int) -> int:
        """Return after how many steps trial number `trial` is measured."""
        return self.warmup + (trial + 1) * self.every

    def learning_rate(self, step: int) -> float:
        """Return the learning rate after `step` steps, as a part of the largest.

        In the warm-up, in each segment and in the last phase it rises from a 25th to the
        largest and falls to zero, by cosines, as in OneCycle (Smith and Topin, "Super-
        Convergence", 2018) without the momentum's cycle: what is measured at a segment's
        end has settled, as it will have at the end of the training.
        """
        if step < self.warmup:
            return _cycle(step / self.warmup)
        if step < self.search_end:
            return _cycle((step - self.warmup) % self.every / self.every)
        return _cycle((step - self.search_end) / max(1, self.total - self.search_end))


class PhasedLR(LambdaLR):
    """The learning rate of `Phases.learning_rate`, times the optimiser's own.

    Args:
        optimizer: whose `lr` is the largest.
        total_steps: of the training.
        settings: as `Phases.of_training` takes them.

    Raises:
        SettingError: as `Phases.of_training`.
    """

    def __init__(self, optimizer: Optimizer, *, total_steps: int, **settings: float | None) -> None:
        phases = Phases.of_training(total_steps=total_steps, **settings)
        super().__init__(optimizer, phases.learning_rate)


def _cycle(place: float) -> float:
    if place < _RISE:
        return _cosine(_FIRST, 1.0, place / _RISE)
    return _cosine(1.0, 0.0, min(1.0, (place - _RISE) / (1 - _RISE)))


def _cosine(start: float, end: float, place: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * place)) / 2


def _steps(name: str, length: int | float, total_steps: int, max_epochs: int, *, least: int) -> int:
    """Return a length in steps: epochs as an integer, or a part of the training as a float."""
    if isinstance(length, float):
        if not 0 <= length <= 1:
            raise SettingError(
                f"Expected `{name}` to be epochs (an integer) or a part of the training (from 0.0 "
                f"to 1.0), but got {length!r}."
            )
        return round(length * total_steps)
    _check_at_least(least, name, length)
    return round(length * total_steps / max_epochs)


def _check_at_least(least: int, name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingError(
            f"Expected `{name}` to be an integer of at least {least}, but got {value!r}."
        )
