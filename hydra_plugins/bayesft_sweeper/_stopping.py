"""When a search has converged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesft.bo import is_feasible
from bayesft.bo.optimizer import Optimizer
from hydra_plugins.bayesft_sweeper._errors import SweepError


@dataclass(frozen=True)
class Stopping:
    """What ends a search before its last trial; nothing by default.

    Args:
        patience: finished trials since the best one after which to stop, or None.
        min_improvement: expected improvement of the next trial below which to stop, in
            units of the value, or None.

    Raises:
        SweepError: a setting has a value that it cannot have.
    """

    patience: int | None = None
    min_improvement: float | None = None

    def __post_init__(self) -> None:
        patience, least = self.patience, self.min_improvement
        if patience is not None and (type(patience) is not int or patience < 1):
            raise SweepError(
                "Expected hydra.sweeper.patience to be null or an integer of at least 1, but got "
                f"{patience!r}."
            )
        number = isinstance(least, (int, float)) and not isinstance(least, bool)
        if least is not None and not (number and math.isfinite(least) and least > 0):
            raise SweepError(
                "Expected hydra.sweeper.min_improvement to be null or a finite number above 0, in "
                f"units of what the task returns, but got {least!r}."
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Stopping":
        return cls(settings.get("patience"), settings.get("min_improvement"))

    def reason(self, optimizer: Optimizer) -> str | None:
        """Say why the search is done, or None if it is not.

        The trials before the Gaussian process takes over are always made: until then
        nothing was looked for. And where no trial keeps to the constraints yet, the search
        goes on for one that does.
        """
        finished = [trial for trial in optimizer.trials if trial.state == "finished"]
        if len(finished) < max(optimizer.n_initial, len(optimizer.start)):
            return None
        best = optimizer.best()
        if not is_feasible(best, optimizer.constraints):
            return None
        since = sum(trial.number > best.number for trial in finished)
        if self.patience is not None and since >= self.patience:
            return (
                f"trial {best.number} has been the best for {since} trials "
                f"(hydra.sweeper.patience={self.patience})"
            )
        if self.min_improvement is not None:
            expected = optimizer.expected_improvement()
            if expected is not None and expected < self.min_improvement:
                return (
                    f"the next trial is expected to gain {expected:.2g} "
                    f"(hydra.sweeper.min_improvement={self.min_improvement:g})"
                )
        return None
