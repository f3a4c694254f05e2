"""What a backend is."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from bayesft.drift import Chip
from bayesft.errors import SettingError
from bayesft.robustness.batches import batch_length


class Backend(Protocol):
    """A way to score a network under several draws.

    Every backend gives the same scores on the same draws, to float tolerance.

    Attributes:
        mixes: whether a call is best given all draws that there are, and not those of
            one set of sigmas alone.
    """

    mixes: bool

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[Sequence[float]]
    ) -> Tensor:
        """Score chips, each at sigmas of its own.

        Args:
            chips: at least one.
            batches: one for each chip, all of one length, on the weights' device.
            sigmas: strengths for each chip.

        Returns:
            what `mean_and_variance` keeps of each chip at each of its sigmas, one chip after
            the other, shape `(D, 2)`, on that device; nothing waits for it.
        """

    def chunk(self, batch: Any) -> int:
        """Return how many chips with batches such as this one to give to a call."""


def mean_and_variance(scores: Tensor) -> Tensor:
    """Return a draw's score and the variance between its images.

    Args:
        scores: of each image, shape `(..., images)`, or a 0-d one of the whole batch.

    Returns:
        shape `(..., 2)`, float64 where the device has it; the variance is NaN of one score alone.
    """
    wide = scores.to(_widest(scores))
    listed = wide if wide.ndim else wide.reshape(1)
    mean = listed.mean(-1)
    alone = listed.shape[-1] < 2
    return torch.stack([mean, torch.full_like(mean, torch.nan) if alone else listed.var(-1)], -1)


def of_each_image(scores: Tensor, batch: Any) -> Tensor:
    """Return a draw's raw score; raise unless it is of the whole batch, or as long as that is.

    Raises:
        SettingError: it is no such numbers.
    """
    _check(scores)
    if scores.ndim == 1 and len(scores) != batch_length(batch):
        raise SettingError(
            f"Expected the `score` to return one value for each of {batch_length(batch)} images, "
            f"or one for the whole batch, shape (), but got {len(scores)} values. Return "
            "scores.mean() if they are of something else than the images."
        )
    return scores


def _check(scores: Tensor) -> None:
    if not isinstance(scores, Tensor):
        got = f"a {type(scores).__name__}"
    elif scores.ndim > 1 or scores.is_complex() or scores.numel() == 0:
        got = f"a tensor of shape {tuple(scores.shape)} and type {scores.dtype}"
    else:
        return
    raise SettingError(
        "Expected the `score` to return a tensor of real numbers, one for each image, shape "
        f"(images,), or one for the whole batch, shape (), but got {got}. Return torch.tensor(x) "
        "for a number x, scores.mean(1) for several of each image."
    )


def _widest(scores: Tensor) -> torch.dtype:
    # Apple's GPUs know no float64.
    return torch.float32 if scores.is_mps else torch.float64
