"""Measured cells, and how their errors are distributed at each conductance."""

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesft.errors import SettingError

WRITTEN, READ = "written", "read"
# What other files have between their columns.
_OTHER_MARKS = (";", "\t", "|")

# Fewer cells tell little of how errors are distributed.
FEWEST_CELLS = 20
# Where cells were written to no more values than MOST_LEVELS each value with enough cells is a
# level; else a level has about so many cells of neighbouring conductances, fewer if there would
# be fewer levels than FEWEST_LEVELS, more if more than MOST_LEVELS.
CELLS_OF_A_LEVEL, FEWEST_LEVELS, MOST_LEVELS = 200, 8, 32

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
        slope_in_pairs: the same of these errors less the mean error of the smallest conductance.
    """

    quantiles: Tensor
    slope: float
    slope_in_pairs: float


def errors_of(written: Sequence[float] | Tensor, read: Sequence[float] | Tensor) -> Errors:
    """Return the errors of n cells.

    Cells are sorted into levels: by what was written, to 1/256 of the largest, if that are a few
    values, by about equal numbers of cells if not. Between two levels quantiles are
    interpolated, beyond the first and the last they are those of these. What was written may be
    negative, as the weights of pairs of cells are; an error is then positive if it makes the
    cell's size larger.

    Args:
        written: what was written to each cell, in any unit.
        read: what was read from it, in the same unit.

    Raises:
        SettingError: there are fewer than `FEWEST_CELLS`, not as many numbers of either kind,
            one that is none, all of `written` are 0, or errors too large for a float32.
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
    groups = _levels(parts)
    rows, levels = np.linspace(0, 1, ROWS + 1), [parts[group].mean() for group in groups]
    quantiles = np.stack([_quantiles(errors[group]) for group in groups])
    table = np.stack([np.interp(rows, levels, column) for column in quantiles.T], axis=1)
    idle = errors[groups[0]].mean()
    slope, in_pairs = (
        float((parts * (errors - mean)).sum() / (parts**2).sum()) for mean in (0.0, idle)
    )
    kept = torch.from_numpy(table).float()
    if not (kept.isfinite().all() and np.isfinite(slope)):
        raise SettingError(
            "Expected errors that are numbers, as parts of the largest conductance, but they are "
            f"up to {np.abs(errors).max():g} times it. Are both columns in one unit?"
        )
    return Errors(kept, slope, in_pairs)


def path_of(file: str | os.PathLike[str]) -> Path:
    """Return the path that a setting names."""
    return Path(str(file)).expanduser()


def cells_in(path: Path) -> tuple[list[str], list[str]]:
    """Return the columns `written` and `read` of a CSV file, as they are; others are left aside.

    Raises:
        SettingError: there is no such file, or it has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            _check_columns(path, rows.fieldnames)
            cells = [(row[WRITTEN], row[READ]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = " Save it as UTF-8." if isinstance(error, UnicodeDecodeError) else ""
        raise SettingError(
            "Expected `drift.file` to be a CSV file with a row for each cell, but "
            f"{path} cannot be read: {error}.{remedy}"
        ) from error
    return [cell[0] for cell in cells], [cell[1] for cell in cells]


def sha256_of(file: str | os.PathLike[str] | None) -> str | None:
    """Return what tells a file's content from any other, or None if it cannot be read."""
    try:
        return hashlib.sha256(path_of(file).read_bytes()).hexdigest() if file else None
    except OSError:
        return None


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if {WRITTEN, READ} <= set(names):
        for name in (WRITTEN, READ):
            if names.count(name) > 1:
                raise SettingError(
                    f"Expected {path} to have one column `{name}`, but got {names.count(name)}. "
                    "Give the others other names."
                )
        return
    other = next((mark for mark in _OTHER_MARKS if mark in "".join(names)), None)
    remedy = f" Its columns are apart by {other!r}: save it with commas." if other else ""
    raise SettingError(
        f"Expected {path} to have the columns `{WRITTEN}` and `{READ}` in its first "
        f"line, but got {', '.join(names) or 'nothing'}.{remedy}"
    )


def _levels(parts: np.ndarray) -> list[np.ndarray]:
    """Return which cells belong to each level, from the lowest to the highest."""
    rows = np.round(parts * ROWS)
    order = np.argsort(rows, kind="stable")
    values, starts = np.unique(rows[order], return_index=True)
    count, few = len(parts), len(values) <= MOST_LEVELS
    if few and count >= FEWEST_CELLS * len(values):
        enough = FEWEST_CELLS
    else:
        some = min(CELLS_OF_A_LEVEL, count // FEWEST_LEVELS)
        enough = max(FEWEST_CELLS, some, count // MOST_LEVELS)
    # Cells of one value stay together, and are joined by the next ones if they are too few.
    ends = [0]
    for start in [*starts[1:], count]:
        if start - ends[-1] >= enough:
            ends.append(start)
    ends[-1] = count
    return np.split(order, ends[1:-1])


def _quantiles(errors: np.ndarray) -> np.ndarray:
    normals = torch.linspace(-FARTHEST, FARTHEST, STEPS + 1, dtype=torch.float64)
    middles = (np.arange(len(errors)) + 0.5) / len(errors)
    return np.interp(torch.special.ndtr(normals).numpy(), middles, np.sort(errors))


def _numbers(cells: Sequence[float] | Tensor, name: str) -> np.ndarray:
    if not isinstance(cells, (Sequence, Tensor, np.ndarray)) or isinstance(cells, str):
        raise SettingError(f"Expected `{name}` to be a list of numbers, but got {cells!r}.")
    numbers = []
    for place, cell in enumerate(cells, start=1):
        try:
            numbers.append(float(cell))
        except (TypeError, ValueError, OverflowError):
            numbers.append(np.nan)
        if not np.isfinite(numbers[-1]):
            remedy = " Write 0.5 for 0,5." if "," in str(cell) else ""
            raise SettingError(
                f"Expected `{name}` to hold finite numbers, but that of cell {place} is {cell!r}."
                f"{remedy}"
            )
    return np.array(numbers)
