"""One thing that can be chosen: a number in an interval, an integer, one of a list.

Each dimension maps its values to `width` columns of the unit cube and back.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bayesft.bo.errors import SpaceError

# Beyond this an integer's cell in the unit interval nears the spacing of floats.
LARGEST_INTEGER = 2**40


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _clip(u: float) -> float:
    if math.isnan(u):
        raise SpaceError("Expected a row of numbers from 0 to 1, but got nan in it.")
    return min(1.0, max(0.0, float(u)))


@dataclass(frozen=True)
class Real:
    """A real number from `low` to `high`, both included; one column.

    Args:
        low: Smallest value.
        high: Largest value, above `low`.
        log: Spread evenly over the logarithm; needs `low > 0`.

    Raises:
        SpaceError: The bounds are not finite numbers in that order.
    """

    low: float
    high: float
    log: bool = False
    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if not _is_number(bound) or not math.isfinite(bound):
                raise SpaceError(f"Expected `{name}` to be a finite number, but got {bound!r}.")
            object.__setattr__(self, name, float(bound))
        _check_bounds(self.low, self.high, self.log)
        if not math.isfinite(self.high - self.low):
            raise SpaceError(
                f"Expected an interval of finite length, but got {self.low} to {self.high}."
            )

    def contains(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def encode(self, value: float) -> list[float]:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return [_clip((math.log(value) - low) / (high - low))]
        return [_clip((value - self.low) / (self.high - self.low))]

    def near(self, value: float) -> tuple[float, ...]:
        """Return the values beside one, which a real number does not have."""
        return ()

    def decode(self, columns: Sequence[float]) -> float:
        u = _clip(columns[0])
        # The ends are returned as they were typed: the formulas round.
        if u in (0.0, 1.0):
            return self.high if u else self.low
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + u * (high - low))
        else:
            value = self.low + u * (self.high - self.low)
        return min(self.high, max(self.low, self._rounded(value)))

    def _rounded(self, value: float) -> float:
        """Keep six digits: a command that repeats a trial stays readable, and nothing is lost."""
        scale = self.high - self.low
        if self.log:
            scale = min(scale, value)
        return round(value, 5 - math.floor(math.log10(scale)))

    def to_json(self) -> dict[str, Any]:
        return {"type": "real", "low": self.low, "high": self.high, "log": self.log}

    def __str__(self) -> str:
        return f"{'log ' if self.log else ''}interval {_short(self.low)} to {_short(self.high)}"


@dataclass(frozen=True)
class Integer:
    """An integer from `low` to `high`, both included; one column.

    The unit interval is cut into one cell for each integer, all of one length,
    so that the ends are drawn as often as the rest. With `log` the cells are
    those of [low - 1/2, high + 1/2] on the logarithmic scale.

    Args:
        low: Smallest value.
        high: Largest value, above `low`.
        log: Spread evenly over the logarithm; needs `low > 0`.

    Raises:
        SpaceError: The bounds are not integers in that order, or lie beyond 2^40.
    """

    low: int
    high: int
    log: bool = False
    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if not isinstance(bound, int) or isinstance(bound, bool):
                raise SpaceError(f"Expected `{name}` to be an integer, but got {bound!r}.")
            if abs(bound) > LARGEST_INTEGER:
                raise SpaceError(
                    f"Expected `{name}` to lie within ±2^40, but got {bound}. "
                    "Use a real interval, or search the exponent."
                )
        _check_bounds(self.low, self.high, self.log)

    def contains(self, value: Any) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def encode(self, value: int) -> list[float]:
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            centre = (math.log(value - 0.5) + math.log(value + 0.5)) / 2
            return [(centre - low) / (high - low)]
        return [(value - self.low + 0.5) / (self.high - self.low + 1)]

    def near(self, value: int) -> tuple[int, ...]:
        """Return the nearest integers, two to either side."""
        within = range(max(self.low, value - 2), min(self.high, value + 2) + 1)
        return tuple(other for other in within if other != value)

    def decode(self, columns: Sequence[float]) -> int:
        u = _clip(columns[0])
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = math.floor(math.exp(low + u * (high - low)) + 0.5)
        else:
            value = self.low + math.floor(u * (self.high - self.low + 1))
        return min(self.high, max(self.low, value))

    def to_json(self) -> dict[str, Any]:
        return {"type": "integer", "low": self.low, "high": self.high, "log": self.log}

    def __str__(self) -> str:
        return f"{'log ' if self.log else ''}integers {self.low} to {self.high}"


@dataclass(frozen=True)
class Categorical:
    """One of a list of choices, without an order.

    c choices take c columns, one for each, of which the largest wins; two take
    one column, cut at 1/2; a single choice takes none, since it leaves no freedom.

    Args:
        choices: Strings, integers, finite floats, booleans or None; no two the
            same. `1`, `1.0` and `True` are three different choices.

    Raises:
        SpaceError: There is no choice, one comes twice, or one is of another type.
    """

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        if isinstance(self.choices, str) or not isinstance(self.choices, Sequence):
            raise SpaceError(f"Expected `choices` to be a tuple, but got {self.choices!r}.")
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise SpaceError("Expected `choices` to hold at least one choice, but got none.")
        for choice in self.choices:
            scalar = choice is None or isinstance(choice, (str, bool, int, float))
            if not scalar or (isinstance(choice, float) and not math.isfinite(choice)):
                raise SpaceError(
                    "Expected every choice to be a string, a finite number, a boolean or null, "
                    f"but got {choice!r}."
                )
        keys = [json.dumps(choice) for choice in self.choices]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise SpaceError(f"Expected different choices, but {key} comes twice.")

    @property
    def width(self) -> int:
        count = len(self.choices)
        return count if count > 2 else count - 1

    def contains(self, value: Any) -> bool:
        return self._index(value) is not None

    def encode(self, value: Any) -> list[float]:
        index = self._index(value)
        if len(self.choices) <= 2:
            return [float(index)] * self.width
        return [float(index == i) for i in range(self.width)]

    def near(self, value: Any) -> tuple[Any, ...]:
        """Return the other choices: none is nearer than another."""
        index = self._index(value)
        return tuple(other for i, other in enumerate(self.choices) if i != index)

    def decode(self, columns: Sequence[float]) -> Any:
        if len(self.choices) == 1:
            return self.choices[0]
        levels = [_clip(u) for u in columns]
        if len(self.choices) == 2:
            return self.choices[levels[0] >= 0.5]
        return self.choices[levels.index(max(levels))]

    def to_json(self) -> dict[str, Any]:
        return {"type": "categorical", "choices": list(self.choices)}

    def _index(self, value: Any) -> int | None:
        # Equality alone would take True for 1.
        for index, choice in enumerate(self.choices):
            if type(choice) is type(value) and choice == value:
                return index
        return None

    def __str__(self) -> str:
        return "choice of " + ", ".join(json.dumps(choice) for choice in self.choices)


Dimension = Real | Integer | Categorical


def dimension_from_json(data: Any) -> Dimension:
    """Build a dimension from what its `to_json` returned.

    Raises:
        SpaceError: It is not such a thing, or describes no valid dimension.
    """
    kinds = {"real": Real, "integer": Integer, "categorical": Categorical}
    try:
        options = dict(data)
        return kinds[options.pop("type")](**options)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, SpaceError):
            raise
        raise SpaceError(
            f"Expected a dimension of type {', '.join(kinds)} with its settings, but got {data!r}."
        ) from error


def _check_bounds(low: float, high: float, log: Any) -> None:
    if not isinstance(log, bool):
        raise SpaceError(f"Expected `log` to be true or false, but got {log!r}.")
    if not low < high:
        raise SpaceError(f"Expected `low` to be below `high`, but got {low} and {high}.")
    if log and low <= 0:
        raise SpaceError(
            f"Expected `low` above 0 for a logarithmic scale, but got {low}. "
            "Raise `low` or drop `log`."
        )


def _short(number: float) -> str:
    # repr, but 1 for 1.0: two bounds that differ must look different.
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
