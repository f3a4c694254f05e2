"""The runs of a multirun, read from its folder: configs, curves and failures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bayesft.errors import BayesFTError, SettingError
from bayesft.robustness import Curve

FAILURE = "failure.yaml"


@dataclass(frozen=True)
class Failure:
    """A run that raised.

    Attributes:
        of: what it was, besides its seed: nodes of its config, by name.
        seed: of the run.
        reason: one line.
    """

    of: Mapping[str, Any]
    seed: int | None
    reason: str


def write_failure(folder: Path, failure: Failure) -> None:
    """Leave in the folder of a run that raised what it was, and why."""
    content = {**failure.of, "seed": failure.seed, "reason": failure.reason}
    (folder / FAILURE).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def failures_of(folder: Path, node: str) -> Iterator[dict[str, Any]]:
    """Yield what `write_failure` left of the runs below `folder` that have the config node."""
    for path in sorted(folder.rglob(FAILURE)):
        if node in (content := read_mapping(path)):
            yield content


def configs_of(folder: Path, node: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and config of each run below `folder` whose config has the node."""
    for path in sorted(folder.rglob("config.yaml")):
        # Not Hydra's own in `.hydra`, where nothing is resolved.
        if path.parent.name != ".hydra" and node in (config := read_mapping(path)):
            yield path.parent, config


def curve_of(folder: Path, sigmas: Sequence[float]) -> tuple[Curve | None, str]:
    """Return the test curve of a run, or None and why there is none.

    Args:
        folder: of the run.
        sigmas: what the curve must hold.
    """
    path = folder / "test_curve.json"
    if not path.exists():
        return None, "stopped before its end"
    try:
        curve = Curve.from_json(path)
        curve.at(sigmas)
    except BayesFTError as error:
        return None, str(error)
    return curve, ""


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty one for anything else.

    Raises:
        SettingError: it cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SettingError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    return content if isinstance(content, dict) else {}
