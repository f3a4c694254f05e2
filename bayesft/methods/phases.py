"""The phases of a training that searches its dropout rates on the way."""

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bayesft.errors import SettingError

Phase = Literal["warmup", "search", "last"]

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
        warmup_epochs: int,
        search_epochs: int,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
    ) -> "Phases":
        """Lay the phases out in a training of `total_steps` over `max_epochs`.

        The last phase is what is left. `every_n_steps` takes the place of
        `every_n_epochs` if it is not None.

        Raises:
            SettingError: a number is out of range, the search is longer than the training
                or too short for one trial.
        """
        for name, value, least in (
            ("warmup_epochs", warmup_epochs, 0),
            ("search_epochs", search_epochs, 1),
            ("every_n_epochs", every_n_epochs, 1),
            ("every_n_steps", 1 if every_n_steps is None else every_n_steps, 1),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingError(
                    f"Expected `{name}` to be an integer of at least {least}, but got {value!r}."
                )
        if warmup_epochs + search_epochs > max_epochs:
            raise SettingError(
                f"The search would be longer than the training: {warmup_epochs} epochs of warm-up "
                f"and {search_epochs} of search, but trainer.max_epochs is {max_epochs}. Train "
                "longer, or make warmup_epochs or search_epochs smaller."
            )
        epoch = total_steps / max_epochs
        start, end = round(warmup_epochs * epoch), round((warmup_epochs + search_epochs) * epoch)
        every = round(every_n_epochs * epoch) if every_n_steps is None else every_n_steps
        trials = (end - start) // max(1, every)
        if not trials:
            raise SettingError(
                f"The search has {end - start} steps, less than the {every} of one trial. Make "
                "search_epochs larger, or every_n_epochs (every_n_steps) smaller."
            )
        return cls(start, max(1, every), trials, total_steps)

    @property
    def search_end(self) -> int:
        """The first step of the last phase."""
        return self.warmup + self.trials * self.every

    def at(self, step: int) -> Phase:
        """Return the phase that the step after `step` steps belongs to."""
        if step < self.warmup:
            return "warmup"
        return "search" if step < self.search_end else "last"

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

    def __init__(self, optimizer: Optimizer, *, total_steps: int, **settings: int | None) -> None:
        phases = Phases.of_training(total_steps=total_steps, **settings)
        super().__init__(optimizer, phases.learning_rate)


def _cycle(place: float) -> float:
    if place < _RISE:
        return _cosine(_FIRST, 1.0, place / _RISE)
    return _cosine(1.0, 0.0, min(1.0, (place - _RISE) / (1 - _RISE)))


def _cosine(start: float, end: float, place: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * place)) / 2
