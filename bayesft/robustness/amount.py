"""How much an evaluation is to do: so many draws, or until the error is so small."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from bayesft.drift import Drift, check_drift
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


class Amounts(NamedTuple):
    """The settings of `evaluate` that say how much to do, as plain numbers."""

    draws: int | None
    images_per_draw: int | None
    target_stderr: float | None
    max_draws: int | None
    max_images: int | None


def check_amounts(
    draws: int | None,
    images_per_draw: int | None,
    target_stderr: float | None,
    max_draws: int | None,
    max_images: int | None,
) -> Amounts:
    """Return the settings of `evaluate`; raise `SettingError` unless they go together."""
    # Two draws in every fold: fewer have no error.
    least = {"draws": 1, "images_per_draw": 1, "max_draws": 2 * FOLDS, "max_images": 2 * FOLDS}
    given = (draws, images_per_draw, max_draws, max_images)
    counts = {
        name: None if value is None else check_count(name, value, least=fewest)
        for (name, fewest), value in zip(least.items(), given, strict=True)
    }
    if target_stderr is not None:
        target_stderr = check_target("target_stderr", target_stderr)
    amounts = Amounts(target_stderr=target_stderr, **counts)
    _check_they_go_together(amounts)
    return amounts


def _check_they_go_together(amounts: Amounts) -> None:
    """Raise `SettingError` if one of them leaves another without a meaning or without room."""
    draws, images_per_draw = amounts.draws, amounts.images_per_draw
    target_stderr, max_images = amounts.target_stderr, amounts.max_images
    limits = [name for name in ("max_draws", "max_images") if getattr(amounts, name) is not None]
    if target_stderr is None:
        if limits:
            raise SettingError(
                f"{' and '.join(f'`{name}`' for name in limits)} limit what `target_stderr` may "
                "take, but no `target_stderr` was given. Give one, or `draws` alone."
            )
        return
    if draws is not None:
        raise SettingError(
            f"Expected `draws` or `target_stderr`, but got both ({draws} and {target_stderr:g}). "
            "With a target, `max_draws` limits the draws."
        )
    if max_images is not None and images_per_draw is not None:
        least = 2 * FOLDS * images_per_draw
        if max_images < least:
            raise SettingError(
                f"Expected `max_images` to be at least {least}, {2 * FOLDS} draws of "
                f"`images_per_draw={images_per_draw}` images, but got {max_images}."
            )


def check_sigmas(
    drift: Drift, sigmas: Sequence[float], *, name: str = "sigmas"
) -> tuple[float, ...]:
    """Return the strengths in increasing order, each once.

    Raises:
        SettingError: there are none, one is no strength of `drift`, or that is none.
    """
    check_drift(drift)
    try:
        strengths = tuple(sorted({drift.check(sigma) for sigma in sigmas}))
    except TypeError as error:
        raise SettingError(
            f"Expected `{name}` to be a list of strengths such as [0.5], but got {sigmas!r}."
        ) from error
    if not strengths:
        raise SettingError(f"Expected `{name}` to name at least one strength, but got none.")
    return strengths


def check_count(name: str, value: int | None, *, least: int = 1) -> int:
    """Return `value` as an int; raise `SettingError` unless it is one of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise SettingError(
            f"Expected `{name}` to be an integer of at least {least}, but got {value!r}."
        )
    # NumPy's too.
    return operator.index(value)


def check_target(name: str, value: float) -> float:
    """Return `value`; raise `SettingError` unless it is a finite number above 0."""
    # Its square is divided by, and must not vanish.
    if not _is_finite(value) or value < _SMALLEST_TARGET:
        raise SettingError(
            f"Expected `{name}` to be a finite number above 0, in units of the score, but got "
            f"{value!r}. Try 0.01."
        )
    return float(value)


def check_score(name: str, value: float) -> float:
    """Return `value`; raise `SettingError` unless it is a finite number."""
    if not _is_finite(value):
        raise SettingError(
            f"Expected `{name}` to be a finite number, but got {value!r}: it is computed "
            "with as the other scores are. Give the last score on that side that means something."
        )
    return float(value)


def _is_finite(value: float) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return number and math.isfinite(value)
