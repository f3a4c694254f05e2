"""How much an evaluation is to do: so many draws, or until the error is so small."""

import math
from typing import Any

from bayesft.errors import SettingError
from bayesft.robustness.sequential import FOLDS

_SMALLEST_TARGET = 1e-12


def amount(
    draws: int, images_per_draw: int | None, target_stderr: float | None, *, prefix: str = ""
) -> dict[str, Any]:
    """Return what `evaluate` is to be given of settings in which a target takes the lead.

    Args:
        draws: how many, without a target.
        images_per_draw: images in each; None, with a target alone, leaves them to a pilot.
        target_stderr: the standard error to reach, or None.
        prefix: of the settings' names in messages.

    Raises:
        SettingError: a setting has a value that it cannot have.
    """
    if images_per_draw is None and target_stderr is None:
        raise SettingError(
            f"Expected `{prefix}images_per_draw` to be an integer of at least 1, but got None: a "
            f"pilot finds it for a `{prefix}target_stderr` alone. Give one of them."
        )
    if images_per_draw is not None:
        check_count(f"{prefix}images_per_draw", images_per_draw)
    if target_stderr is None:
        return {
            "draws": check_count(f"{prefix}draws", draws),
            "images_per_draw": images_per_draw,
        }
    return {
        "target_stderr": check_target(f"{prefix}target_stderr", target_stderr),
        "images_per_draw": images_per_draw,
    }


def check_amounts(
    draws: int | None,
    images_per_draw: int | None,
    target_stderr: float | None,
    max_draws: int | None,
    max_images: int | None,
) -> None:
    """Raise `SettingError` unless these settings of `evaluate` go together."""
    if draws is not None:
        check_count("draws", draws)
    if images_per_draw is not None:
        check_count("images_per_draw", images_per_draw)
    limits = {"max_draws": max_draws, "max_images": max_images}
    limits = {name: value for name, value in limits.items() if value is not None}
    if target_stderr is None:
        if limits:
            raise SettingError(
                f"{' and '.join(f'`{name}`' for name in limits)} limit what `target_stderr` may "
                "take, but no `target_stderr` was given. Give one, or `draws` alone."
            )
        return
    check_target("target_stderr", target_stderr)
    if draws is not None:
        raise SettingError(
            f"Expected `draws` or `target_stderr`, but got both ({draws} and {target_stderr:g}). "
            "With a target, `max_draws` limits the draws."
        )
    for name, value in limits.items():
        # Two draws in every fold: fewer have no error.
        check_count(name, value, least=2 * FOLDS)
    if max_images is not None and images_per_draw is not None:
        least = 2 * FOLDS * images_per_draw
        if max_images < least:
            raise SettingError(
                f"Expected `max_images` to be at least {least}, {2 * FOLDS} draws of "
                f"`images_per_draw={images_per_draw}` images, but got {max_images}."
            )


def check_count(name: str, value: int | None, *, least: int = 1) -> int:
    """Return `value`; raise `SettingError` unless it is an integer of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingError(
            f"Expected `{name}` to be an integer of at least {least}, but got {value!r}."
        )
    return value


def check_target(name: str, value: float) -> float:
    """Return `value`; raise `SettingError` unless it is a finite number above 0."""
    # Its square is divided by, and must not vanish.
    if not _is_finite(value) or value < _SMALLEST_TARGET:
        raise SettingError(
            f"Expected `{name}` to be a finite number above 0, in units of the score, but got "
            f"{value!r}. Try 0.01."
        )
    return value


def check_score(name: str, value: float) -> float:
    """Return `value`; raise `SettingError` unless it is a finite number."""
    if not _is_finite(value):
        raise SettingError(
            f"Expected `{name}` to be a finite number, but got {value!r}: it is computed "
            "with as the other scores are. Give the last score on that side that means something."
        )
    return float(value)


def _is_finite(value: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
