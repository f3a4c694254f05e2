"""What a trial must keep to besides having a good value."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesft.bo.errors import OptimizerError
from bayesft.bo.trial import Trial

_FORM = re.compile(r"\s*(?P<name>[^<>=\s]+)\s*(?P<relation>[<>]=)\s*(?P<bound>\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A limit on a named value that each trial measures.

    Example:
        >>> constraint = Constraint.parse("clean_accuracy >= 0.97")
        >>> constraint.slack({"clean_accuracy": 0.96}) < 0
        True

    Args:
        name: of the value among a trial's `extra`.
        relation: `>=` or `<=`.
        bound: finite.

    Raises:
        OptimizerError: an argument has a value that it cannot have.
    """

    name: str
    relation: str
    bound: float

    def __post_init__(self) -> None:
        if self.relation not in (">=", "<="):
            raise OptimizerError(
                f"Expected the constraint on {self.name} to say >= or <=, but got "
                f"{self.relation!r}."
            )
        if not math.isfinite(self.bound):
            raise OptimizerError(
                f"Expected the constraint on {self.name} to have a finite bound, but got "
                f"{self.bound}."
            )

    @classmethod
    def parse(cls, text: Any) -> "Constraint":
        """Read `name >= number` or `name <= number`.

        Raises:
            OptimizerError: `text` is something else.
        """
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        try:
            bound = float(found["bound"]) if found else math.nan
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise OptimizerError(
                "Expected a constraint such as 'clean_accuracy >= 0.97', a name, >= or <=, and a "
                f"finite number, but got {text!r}."
            )
        return cls(found["name"], found["relation"], bound)

    def __str__(self) -> str:
        return f"{self.name} {self.relation} {self.bound:g}"

    def slack(self, measured: Mapping[str, Any]) -> float | None:
        """Return by how much a trial keeps to the limit: negative if it does not.

        None if what was measured was not a finite number.

        Args:
            measured: a trial's `extra`: numbers, or pairs of a mean and a standard error.

        Raises:
            OptimizerError: there is no value of that name.
        """
        value, _ = self.measured(measured)
        if value is None:
            return None
        return value - self.bound if self.relation == ">=" else self.bound - value

    def stderr(self, measured: Mapping[str, Any]) -> float | None:
        """Return the standard error of the slack, None if it is not known."""
        return self.measured(measured)[1]

    def measured(self, measured: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Return the limited value and its standard error; None for what is not known.

        Raises:
            OptimizerError: there is no value of that name.
        """
        if self.name not in measured:
            raise OptimizerError(
                f"The constraint {self} is on a value that was not returned; "
                f"returned were {', '.join(measured) or 'no named values'}."
            )
        pair = measured[self.name]
        value, stderr = pair if isinstance(pair, (tuple, list)) else (pair, None)
        return value, stderr


def is_feasible(trial: Trial, constraints: Sequence[Constraint]) -> bool:
    """Whether a finished trial keeps to every constraint, by what it measured.

    What was no finite number keeps to none.
    """
    slacks = [constraint.slack(trial.extra) for constraint in constraints]
    return all(slack is not None and slack >= 0 for slack in slacks)


def least_violating(trials: Sequence[Trial], constraints: Sequence[Constraint]) -> list[Trial]:
    """Return the finished trials that keep to the constraints, or the one nearest to it.

    Nearest is the smallest sum of what is missing, each in units of how much it
    differs between the trials.
    """
    feasible = [trial for trial in trials if is_feasible(trial, constraints)]
    if feasible or not trials:
        return feasible
    missing = [0.0] * len(trials)
    for constraint in constraints:
        slacks = [constraint.slack(trial.extra) for trial in trials]
        known = [slack for slack in slacks if slack is not None]
        spread = max(known) - min(known) if known else 0.0
        for index, slack in enumerate(slacks):
            if slack is None:
                missing[index] = math.inf
            elif slack < 0:
                missing[index] -= slack / (spread or 1.0)
    return [trials[missing.index(min(missing))]]
