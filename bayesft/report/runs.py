"""The runs of a multirun, read from its folder: configs, curves and failures."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bayesft.errors import BayesFTError, SettingError
from bayesft.robustness import Curve

CONFIG = "config.yaml"
"""A run's config with nothing left to resolve."""

TEST_CURVE = "test_curve.json"
"""The curve of the kept weights on test images; the test's scores alone are written later."""

FAILURE = "failure.yaml"
"""What a run that raised was, and why."""

# What the config of each run has, from its beginning to its end.
_EVERY_RUN = ("seed", "model", "data", "evaluation", "trainer")


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
    (folder / FAILURE).write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def failures_of(folder: Path, node: str) -> Iterator[dict[str, Any]]:
    """Yield what `write_failure` left of the runs below `folder` that have the config node.

    One that cannot be read tells nothing: its run is as one that was stopped.
    """
    for path in sorted(folder.rglob(FAILURE)):
        with contextlib.suppress(SettingError):
            if node in (content := read_mapping(path)):
                yield content


def configs_of(folder: Path, node: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and config of each run below `folder` whose config has the node.

    Those that `damaged` tells of are left out.
    """
    for run in _runs_below(folder):
        with contextlib.suppress(SettingError):
            if (config := _config(run)).get(node):
                yield run, config


def damaged(folder: Path) -> dict[Path, str]:
    """Return the runs below `folder` whose config cannot be read, and why in one line."""
    reasons = {}
    for run in _runs_below(folder):
        try:
            _config(run)
        except SettingError as error:
            reasons[run] = " ".join(str(error).split())
    return reasons


def curve_of(folder: Path, sigmas: Sequence[float]) -> tuple[Curve | None, str]:
    """Return the test curve of a run, or None and why there is none.

    Args:
        folder: of the run.
        sigmas: what the curve must hold.
    """
    path = folder / TEST_CURVE
    if not path.exists():
        return None, "stopped before its end"
    try:
        curve = Curve.from_json(path)
        curve.at(sigmas)
    except BayesFTError as error:
        return None, str(error)
    return curve, ""


def _runs_below(folder: Path) -> list[Path]:
    # Hydra's own configs have nothing resolved, and W&B's a form of its own.
    paths = (path.relative_to(folder) for path in sorted(folder.rglob(CONFIG)))
    return [folder / path.parent for path in paths if not {".hydra", "wandb"} & {*path.parts}]


def _config(run: Path) -> dict[str, Any]:
    """Return the config of a run.

    Raises:
        SettingError: it cannot be read, or is the beginning of one: a file that was cut can be
            YAML all the same.
    """
    path = run / CONFIG
    config = read_mapping(path)
    # What is there is whole, be it a run of ours or a file of somebody else's.
    lacking = [part for part in _EVERY_RUN if part not in config]
    if not config or 0 < len(lacking) < len(_EVERY_RUN):
        raise SettingError(f"{path} is not whole: it lacks {', '.join(lacking)}.")
    return config


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty one for anything else.

    Raises:
        SettingError: it cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    return content if isinstance(content, dict) else {}
