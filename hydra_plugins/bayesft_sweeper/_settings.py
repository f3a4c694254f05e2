"""Numbers under `hydra.sweeper`, each refused with its name if it is not what it has to be."""

import math
from collections.abc import Mapping
from typing import Any

from bayesft.bo.initial import initial_trials
from hydra_plugins.bayesft_sweeper._errors import SweepError


def count(settings: Mapping[str, Any], name: str) -> int:
    """Return a whole number from 1 on."""
    value = settings[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SweepError(
            f"Expected hydra.sweeper.{name} to be an integer of at least 1, but got {value!r}."
        )
    return value


def direction(settings: Mapping[str, Any]) -> str:
    """Return whether the value is maximised or minimised."""
    value = settings["direction"]
    if value not in ("maximize", "minimize"):
        raise SweepError(
            f"Expected hydra.sweeper.direction to be maximize or minimize, but got {value!r}."
        )
    return value


def initial(settings: Mapping[str, Any]) -> int:
    """Return how many trials come before the Gaussian process is asked.

    If it is not said, see `initial_trials`.
    """
    if settings["n_initial"] is not None:
        return count(settings, "n_initial")
    return initial_trials(count(settings, "n_trials"))


def seconds(settings: Mapping[str, Any], name: str) -> float:
    """Return a length of time."""
    value = settings[name]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise SweepError(
            f"Expected hydra.sweeper.{name} to be a finite number of seconds above 0, but got "
            f"{value!r}."
        )
    return float(value)


def rate(settings: Mapping[str, Any], name: str) -> float:
    """Return a part of a whole."""
    value = settings[name]
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise SweepError(f"Expected hydra.sweeper.{name} to be in [0, 1], but got {value!r}.")
    return float(value)
