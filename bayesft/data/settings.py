"""Checks of the settings under `data`."""

from collections.abc import Sequence
from typing import Any

from bayesft.errors import SettingError


def check_at_least(least: int, **settings: Any) -> None:
    """Raise a `SettingError` for each setting that is no integer of at least `least`."""
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingError(
                f"Expected `data.{name}` to be an integer of at least {least}, but got {value!r}."
            )


def check_amount(name: str, value: Any) -> None:
    """Raise a `SettingError` if `value` is neither a number of images nor a part of them."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not number and not (isinstance(value, float) and 0 < value < 1):
        raise SettingError(
            f"Expected `data.{name}` to be an integer of at least 1, or a part of the images "
            f"between 0.0 and 1.0, but got {value!r}."
        )


def check_range(least: int, **settings: Any) -> None:
    """Raise a `SettingError` for each setting that is no `[lowest, highest]` from `least` on."""
    for name, value in settings.items():
        listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
        whole = listed and all(isinstance(x, int) and not isinstance(x, bool) for x in value)
        if not (whole and least <= value[0] <= value[1]):
            raise SettingError(
                f"Expected `data.{name}` to be [lowest, highest], two integers of at least "
                f"{least}, but got {value!r}."
            )


def check_channels(channels: Any) -> None:
    """Raise a `SettingError` if `channels` is neither 1 nor 3."""
    if channels not in (1, 3) or isinstance(channels, bool):
        raise SettingError(f"Expected `data.channels` to be 1 or 3, but got {channels!r}.")


def check_transforms(transforms: Any) -> tuple[Any, ...]:
    """Return the transforms as a tuple; None is none.

    Raises:
        SettingError: it is no list, or something in it cannot be called.
    """
    transforms = () if transforms is None else transforms
    if not isinstance(transforms, Sequence) or not all(map(callable, transforms)):
        raise SettingError(
            "Expected `data.augment` to be null or a list of transforms, each with its `_target_`, "
            "such as torchvision.transforms.v2.RandomHorizontalFlip or a function of what they "
            f"get, but got {transforms!r}."
        )
    return tuple(transforms)
