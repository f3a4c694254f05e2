"""The search space: named dimensions, and their place in the unit cube.

A *point* is a dict of one value for each name. A *row* is the same point as
`width` floats from 0 to 1, which is what the surrogate sees.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bayesft.bo.dimension import Categorical, Dimension, Integer, Real, dimension_from_json
from bayesft.bo.errors import SpaceError

__all__ = ["Categorical", "Dimension", "Integer", "Real", "Space"]


@dataclass(frozen=True)
class Space:
    """Named dimensions in a fixed order.

    Example:
        >>> space = Space({"rate": Real(0, 0.8), "depth": Integer(1, 4)})
        >>> space.encode({"rate": 0.2, "depth": 1})
        [0.25, 0.125]
        >>> space.decode([0.25, 0.9])
        {'rate': 0.2, 'depth': 4}

    Args:
        dimensions: What can be chosen, by name. The order is kept.

    Raises:
        SpaceError: There is nothing to choose, or an entry is no dimension.
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        if not isinstance(self.dimensions, Mapping):
            raise SpaceError(
                f"Expected a mapping of names to dimensions, but got {self.dimensions!r}."
            )
        for name, dimension in self.dimensions.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"Expected every name to be a non-empty string, but got {name!r}.")
            if not isinstance(dimension, Dimension):
                raise SpaceError(
                    f"{name}: expected Real, Integer or Categorical, but got {dimension!r}."
                )
        object.__setattr__(self, "dimensions", MappingProxyType(dict(self.dimensions)))
        if not self.width:
            got = ", ".join(self.dimensions) or "no dimension"
            raise SpaceError(
                f"Expected a space with something to choose, but got {got}. "
                "Add an interval, or a list of at least two choices."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled or copied.
        return Space, (dict(self.dimensions),)

    @property
    def width(self) -> int:
        """Number of columns of a row."""
        return sum(dimension.width for dimension in self.dimensions.values())

    @property
    def real_columns(self) -> list[bool]:
        """For each column of a row, whether it is a real number's."""
        return [
            isinstance(dimension, Real)
            for dimension in self.dimensions.values()
            for _ in range(dimension.width)
        ]

    def columns(self) -> dict[str, slice]:
        """Return which columns of a row are whose; those of a single choice are none."""
        found, start = {}, 0
        for name, dimension in self.dimensions.items():
            found[name] = slice(start, start + dimension.width)
            start += dimension.width
        return found

    def neighbours(self, row: Sequence[float]) -> list[list[float]]:
        """Return the rows of the points that differ in one integer or choice."""
        point = self.decode(row)
        return [
            self.encode({**point, name: value})
            for name, dimension in self.dimensions.items()
            for value in dimension.near(point[name])
        ]

    def encode(self, params: Mapping[str, Any]) -> list[float]:
        """Return the row of a point, `width` floats from 0 to 1.

        Raises:
            SpaceError: A name is unknown or missing, or a value lies outside.
        """
        problems = self._problems(params)
        if problems:
            raise SpaceError("; ".join(problems) + ".")
        row: list[float] = []
        for name, dimension in self.dimensions.items():
            row += dimension.encode(params[name])
        return row

    def decode(self, row: Sequence[float]) -> dict[str, Any]:
        """Return the point nearest to a row of `width` floats, clipped to [0, 1].

        `decode(encode(point))` is the point again, up to rounding for reals.

        Raises:
            SpaceError: The row has another length, or holds nan.
        """
        if len(row) != self.width:
            raise SpaceError(f"Expected a row of {self.width} numbers, but got {len(row)}.")
        return {
            name: self.dimensions[name].decode(row[columns])
            for name, columns in self.columns().items()
        }

    def round_row(self, row: Sequence[float]) -> list[float]:
        """Return the nearest row that stands for a point."""
        return self.encode(self.decode(row))

    def to_json(self) -> dict[str, Any]:
        """Return plain data, in order, from which `from_json` builds the same space."""
        return {name: dimension.to_json() for name, dimension in self.dimensions.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Space":
        """Build a space from what `to_json` returned.

        Raises:
            SpaceError: The data describe no valid space; the name is said.
        """
        if not isinstance(data, Mapping):
            raise SpaceError(f"Expected a mapping of names to dimensions, but got {data!r}.")
        dimensions = {}
        for name, dimension in data.items():
            try:
                dimensions[name] = dimension_from_json(dimension)
            except SpaceError as error:
                raise SpaceError(f"{name}: {error}") from error
        return cls(dimensions)

    def difference(self, other: "Space") -> list[str]:
        """Say, a line each, how this space differs from a journal's; [] if not at all."""
        lines = []
        for name, dimension in self.dimensions.items():
            if name not in other.dimensions:
                lines.append(f"{name}: {dimension} here, not in the journal")
            elif _key(dimension) != _key(other.dimensions[name]):
                there = other.dimensions[name]
                lines.append(f"{name}: {dimension} here, {there} in the journal")
        for name, dimension in other.dimensions.items():
            if name not in self.dimensions:
                lines.append(f"{name}: not here, {dimension} in the journal")
        ours, theirs = ", ".join(self.dimensions), ", ".join(other.dimensions)
        if not lines and ours != theirs:
            lines.append(f"order: {ours} here, {theirs} in the journal")
        return lines

    def _problems(self, params: Mapping[str, Any]) -> list[str]:
        problems = [
            f"{name} is no dimension of the space, which has {', '.join(self.dimensions)}"
            for name in params
            if name not in self.dimensions
        ]
        for name, dimension in self.dimensions.items():
            if name not in params:
                problems.append(f"{name} is missing, expected a value in: {dimension}")
            elif not dimension.contains(params[name]):
                problems.append(f"{name}: expected a value in: {dimension}, got {params[name]!r}")
        return problems


def _key(dimension: Dimension) -> str:
    # As text, because True == 1 == 1.0 in Python and not in a journal.
    return json.dumps(dimension.to_json())
