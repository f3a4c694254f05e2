"""Measured cells, and how their errors are distributed at each conductance."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesft.errors import SettingError

WRITTEN, READ = "written", "read"

# Fewer cells tell little of how errors are distributed.
FEWEST_CELLS = 20
# A level of conductance has so many cells, if there are; and there are no more levels than these.
CELLS_OF_A_LEVEL = 200
MOST_LEVELS = 32

# Conductances at which quantiles are kept: steps from nothing to the largest.
ROWS = 256
# Normals at which they are, evenly spaced up to the farthest on either side. What is between
# two of them is interpolated, which is exact where errors are normal.
FARTHEST, STEPS = 4.0, 128


@dataclass(frozen=True)
class Errors:
    """The errors of measured cells; conductances and errors are parts of the largest conductance.

    Args:
        quantiles: float32, shape `(ROWS + 1, STEPS + 1)`: a row for each of evenly spaced
            conductances from 0 to 1, in it the quantiles at evenly spaced normals.
        slope: of the line through nothing that is nearest to all errors over what was written.
    """

    quantiles: Tensor
    slope: float


def errors_of(written: Sequence[float] | Tensor, read: Sequence[float] | Tensor) -> Errors:
    """Return the errors of n cells.

    Cells are sorted into levels: by what was written if that are a few values, by equal
    numbers of cells if not. Within a level, and beyond the first and the last, the mean error
    follows a line; between two levels quantiles are interpolated. What was written may be
    negative, as the weights of pairs of cells are; an error is then positive if it makes the
    cell's size larger.

    Args:
        written: what was written to each cell, in any unit.
        read: what was read from it, in the same unit.

    Raises:
        SettingError: there are fewer than `FEWEST_CELLS`, not as many numbers of either kind,
            one that is none, or all of `written` are 0.
    """
    wanted, found = _numbers(written, WRITTEN), _numbers(read, READ)
    if len(wanted) != len(found) or len(wanted) < FEWEST_CELLS:
        raise SettingError(
            f"Expected what was written to, and read from, at least {FEWEST_CELLS} cells, but "
            f"got {len(wanted)} values that were written and {len(found)} that were read."
        )
    largest = np.abs(wanted).max()
    if largest == 0:
        raise SettingError(
            "Expected cells that were written to some conductance, but all of "
            f"{len(wanted)} values of `{WRITTEN}` are 0."
        )
    parts = np.abs(wanted) / largest
    errors = np.where(wanted < 0, -1.0, 1.0) * (found - wanted) / largest
    groups = [_Level.of(parts[group], errors[group]) for group in _sorted(parts)]
    rows, levels = np.linspace(0, 1, ROWS + 1), [group.level for group in groups]
    quantiles = np.stack([group.quantiles for group in groups])
    table = np.stack([np.interp(rows, levels, column) for column in quantiles.T], axis=1)
    first, last = groups[0], groups[-1]
    table += first.slope * np.minimum(rows - first.level, 0)[:, None]
    table += last.slope * np.maximum(rows - last.level, 0)[:, None]
    slope = float((parts * errors).sum() / (parts**2).sum())
    return Errors(torch.from_numpy(table).float(), slope)


def cells_in(path: Path) -> tuple[list[str], list[str]]:
    """Return the columns `written` and `read` of a CSV file, as they are; others are left aside.

    Raises:
        SettingError: there is no such file, or it has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            if not {WRITTEN, READ} <= set(rows.fieldnames):
                raise SettingError(
                    f"Expected {path} to have the columns `{WRITTEN}` and `{READ}` in its first "
                    f"line, but got {', '.join(rows.fieldnames) or 'nothing'}."
                )
            cells = [(row[WRITTEN], row[READ]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(
            "Expected `drift.file` to be a CSV file with a row for each cell, but "
            f"{os.fspath(path)} cannot be read: {error}."
        ) from error
    return [cell[0] for cell in cells], [cell[1] for cell in cells]


@dataclass(frozen=True)
class _Level:
    """Cells of about one conductance: its mean, how errors grow with it, their quantiles there."""

    level: float
    slope: float
    quantiles: np.ndarray

    @classmethod
    def of(cls, parts: np.ndarray, errors: np.ndarray) -> "_Level":
        off = parts - parts.mean()
        # Of one conductance they differ by their rounding.
        alike = np.ptp(parts) < 1e-9
        slope = 0.0 if alike else (off * errors).sum() / (off**2).sum()
        normals = torch.linspace(-FARTHEST, FARTHEST, STEPS + 1, dtype=torch.float64)
        middles = (np.arange(len(errors)) + 0.5) / len(errors)
        at = np.interp(torch.special.ndtr(normals).numpy(), middles, np.sort(errors - slope * off))
        return cls(float(parts.mean()), float(slope), at)


def _sorted(parts: np.ndarray) -> list[np.ndarray]:
    """Return which cells belong to each level, from the lowest to the highest."""
    order = np.argsort(parts, kind="stable")
    values, starts = np.unique(parts[order], return_index=True)
    if len(values) <= MOST_LEVELS and len(parts) >= FEWEST_CELLS * len(values):
        return np.split(order, starts[1:])
    return np.array_split(order, min(MOST_LEVELS, max(1, len(parts) // CELLS_OF_A_LEVEL)))


def _numbers(cells: Sequence[float] | Tensor, name: str) -> np.ndarray:
    numbers = []
    for place, cell in enumerate(cells, start=1):
        try:
            numbers.append(float(cell))
        except (TypeError, ValueError):
            numbers.append(np.nan)
        if not np.isfinite(numbers[-1]):
            raise SettingError(
                f"Expected `{name}` to hold finite numbers, but that of cell {place} is {cell!r}."
            )
    return np.array(numbers)
