"""Rows of numbers and words for a spreadsheet, or whoever else draws tables."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sheet:
    """A table of which each column holds one kind of thing.

    Attributes:
        head: the columns' names.
        rows: of as many cells; None where something is not known.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]

    def write(self, path: Path) -> None:
        """Write a CSV file, in which what is not known, and NaN, is left empty."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.head)
            writer.writerows([csv_cell(cell) for cell in row] for row in self.rows)


def csv_cell(value: object) -> object:
    """Return `value` for a cell of a CSV file: nothing in place of None and NaN."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
