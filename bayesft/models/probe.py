"""Running a network once, to see whether it fits the images and what it does with them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.errors import SettingError, reason_of
from bayesft.undisturbed import in_eval_mode, random_states_kept


@contextlib.contextmanager
def probing(model: nn.Module, image_shape: tuple[int, int, int]) -> Iterator[Tensor]:
    """Yield a batch of two black images to run `model` on, in eval mode.

    The network and the global random states are left as they were, but for what lazy modules
    learn of the images.

    Raises:
        SettingError: the shape is none, or what is done inside fails, because the network cannot
            take such images.
    """
    _check_shape(image_shape)
    where = next(model.parameters(), torch.empty(0))
    try:
        with in_eval_mode(model), random_states_kept(where.device), torch.no_grad():
            # Two, because a batch of one loses its axis in a network that squeezes.
            yield torch.zeros(2, *image_shape, dtype=where.dtype, device=where.device)
    except SettingError:
        raise
    except Exception as error:
        shape = "×".join(map(str, image_shape))
        raise SettingError(
            f"{type(model).__name__} cannot take images of {shape}, channels × height × width "
            f"({reason_of(error)}). Set data.channels and data.image_size to what it needs: "
            "networks from torchvision take data.channels=3, and data.image_size=224 fits all of "
            "them but inception_v3 (299)."
        ) from error


def _check_shape(image_shape: Any) -> None:
    sizes = image_shape if isinstance(image_shape, Sequence) else ()
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in sizes)
    if not sizes or isinstance(image_shape, str) or not whole or min(sizes) < 1:
        raise SettingError(
            "Expected the shape of an image to be (channels, height, width), integers of at least "
            f"1, such as (3, 32, 32), but got {image_shape!r}."
        )


def check_logits(
    model: nn.Module, image_shape: tuple[int, int, int], num_classes: int | None
) -> None:
    """Raise unless `model` takes such images and gives a logit for each class.

    Args:
        model: any network.
        image_shape: channels, height and width.
        num_classes: how many logits; None for any number.

    Raises:
        SettingError: it does not.
    """
    with probing(model, image_shape) as batch:
        logits = model(batch)
    if isinstance(logits, list) and all(isinstance(each, Mapping) for each in logits):
        raise SettingError(
            f"{type(model).__name__} finds boxes, and the images of this data set have one class "
            "each. Use data for detection (data=digits_detection, data=penn_fudan), or a "
            "classifier (model=lenet5)."
        )
    if not isinstance(logits, Tensor):
        raise SettingError(
            f"Expected {type(model).__name__} to give logits, a tensor, but of a batch it makes a "
            f"{type(logits).__name__}. Wrap it in a module that returns the logits alone, or give "
            "a task of your own, which knows what it returns."
        )
    if num_classes is None:
        return
    if tuple(logits.shape) != (len(batch), num_classes):
        raise SettingError(
            f"Expected {type(model).__name__} to give {num_classes} logits for an image, as "
            f"`data.num_classes` says, but it makes {tuple(logits.shape)} of a batch of "
            f"{len(batch)}. Hand it num_classes: ${{data.num_classes}} in its config."
        )
