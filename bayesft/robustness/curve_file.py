"""How a curve lies in a file: JSON with everything, or a row of CSV for each sigma.

A curve is a mapping here, and so is each of its points: `Curve` says what is in them.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayesft.errors import SettingError
from bayesft.folders import at_once

_FORMAT = 2
# What has another name than in earlier files.
_RENAMED = {"noise": "image_variance"}


def write_json(path: str | Path, curve: Mapping[str, Any]) -> None:
    """Write a curve with its points; null for the numbers of a point that are NaN.

    Raises:
        SettingError: there is no such folder.
    """
    points = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in point.items()}
        for point in curve["points"]
    ]
    content = {"format": _FORMAT, **curve, "points": points}
    with _whole(path) as temporary:
        text = json.dumps(content, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Return what `write_json` wrote; within `told_if_unreadable`."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    points = [
        {_RENAMED.get(k, k): math.nan if v is None else v for k, v in point.items()}
        for point in content["points"]
    ]
    return content | {"points": points}


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns.

    Raises:
        SettingError: there is no such folder.
    """
    with _whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Return what `write_csv` wrote, as text; within `told_if_unreadable`."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{_RENAMED.get(k, k): v for k, v in row.items()} for row in csv.DictReader(file)]


@contextmanager
def told_if_unreadable(path: str | Path) -> Iterator[None]:
    """Raise `SettingError` of a file for what its content, or its absence, raises inside."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(
            f"{path} is not a curve that BayesFT wrote ({type(error).__name__}: {error}). "
            "Expected the output of `Curve.to_json` or `Curve.to_csv`."
        ) from error


@contextmanager
def _whole(path: str | Path) -> Iterator[Path]:
    """Give a file to write to, which is `path` at the end: a reader never sees half of it."""
    path = Path(path)
    if path.is_dir():
        raise SettingError(f"{path} is a folder. Name a file in it to write to.")
    if not path.parent.is_dir():
        raise SettingError(
            f"There is no folder {path.parent} to write {path.name} to. Make it first, or choose "
            "another."
        )
    with at_once(path) as temporary:
        yield temporary
