"""Commands that are told to be typed, from what Hydra leaves in the folder of a run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

OVERRIDES = Path(".hydra") / "overrides.yaml"
"""What was typed for the task."""

SETTINGS = Path(".hydra") / "hydra.yaml"
"""Hydra's own config."""


def retrain_command(folder: Path) -> str:
    """Return the command that trains the network of the run in `folder` again."""
    overrides = yaml.safe_load((folder / OVERRIDES).read_text(encoding="utf-8"))
    settings = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
    places = searchpath(settings["hydra"]["overrides"]["hydra"])
    return shlex.join(["python", "train.py", *places, *overrides])


def searchpath(overrides: Sequence[str]) -> list[str]:
    """Return which of Hydra's own overrides say where the configs are that the others name."""
    return [each for each in overrides if each.lstrip("+").startswith("hydra.searchpath=")]
