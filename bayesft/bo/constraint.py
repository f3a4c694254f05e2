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
        short = f"{self.bound:g}"
        exact = short if float(short) == self.bound else repr(self.bound)
        return f"{self.name} {self.relation} {exact}"

    def slack(self, measured: Mapping[str, Any]) -> float | None:
        """Return by how much a trial keeps to the limit: negative if it does not.

        None if what was measured was not a finite number.

        Args:
            measured: a trial's `extra`: numbers, or pairs of a mean and a standard error.

        Raises:
            OptimizerError: there is no value of that name, or it is something else.
        """
        value, _ = self.measured(measured)
        if value is None or not math.isfinite(value):
            return None
        return value - self.bound if self.relation == ">=" else self.bound - value

    def stderr(self, measured: Mapping[str, Any]) -> float | None:
        """Return the standard error of the slack, None if it is not known."""
        return self.measured(measured)[1]

    def measured(self, measured: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Return the limited value and its standard error; None for what is not known.

        Raises:
            OptimizerError: there is no value of that name, or it is something else.
        """
        if self.name not in measured:
            raise OptimizerError(
                f"The constraint {self} is on a value that was not returned; "
                f"returned were {', '.join(measured) or 'no named values'}."
            )
        got = measured[self.name]
        pair = got if isinstance(got, (tuple, list)) else (got, None)
        if len(pair) != 2 or not all(_is_number(part) for part in pair):
            raise OptimizerError(
                f"Expected what the constraint {self} is on to be a number, or a pair of a mean "
                f"and its standard error, but got {got!r}."
            )
        return tuple(pair)


def _is_number(part: Any) -> bool:
    # What is not known is None; a bool is a mistake, NumPy's and torch's scalars are not.
    return part is None or (hasattr(part, "__float__") and not isinstance(part, bool))


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
