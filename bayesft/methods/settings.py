"""Checks of what the methods are given."""

import pytorch_lightning as pl

from bayesft.errors import SettingError


def check_part(name: str, value: float, *, whole: bool = False) -> float:
    """Return `value` as a float; raise `SettingError` unless it is a part, from 0 to below 1.

    Args:
        name: of the setting, below `method`.
        value: what it is.
        whole: whether 1 is a part as well.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1 or (value == 1 and not whole):
        span = "from 0 to 1" if whole else "from 0 to below 1"
        raise SettingError(f"Expected `method.{name}` to be a number {span}, but got {value!r}.")
    return float(value)


def check_positive(name: str, value: float) -> float:
    """Return `value` as a float; raise `SettingError` unless it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise SettingError(f"Expected `method.{name}` to be a number above 0, but got {value!r}.")
    return float(value)


def epochs_of(part: float, trainer: pl.Trainer) -> int:
    """Return how many epochs a part of the training has.

    Raises:
        SettingError: the training has no end.
    """
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        raise SettingError(
            "This method divides the training into two phases and must know how long it is. Set "
            "trainer.max_epochs."
        )
    return round(part * trainer.max_epochs)
