"""Whether a network is a detector."""

from typing import Any

from torch import nn

from bayesft.errors import SettingError, reason_of
from bayesft.models.probe import probing

PARTS = ("boxes", "labels", "scores")


def is_detections(outputs: Any) -> bool:
    """Whether these are detections: a list with boxes, labels and scores for each image."""
    return isinstance(outputs, list) and all(
        isinstance(each, dict) and set(PARTS) <= set(each) for each in outputs
    )


def check_detections(model: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """Raise unless `model` takes a list of such images and gives detections.

    Raises:
        SettingError: it does not.
    """
    why = ""
    with probing(model, image_shape) as batch:
        try:
            found = is_detections(model(list(batch)))
        except Exception as error:
            found, why = False, f" ({reason_of(error)})"
    if not found:
        shape = "×".join(map(str, image_shape))
        raise SettingError(
            f"{type(model).__name__} does not give boxes, labels and scores for a list of images "
            f"of {shape}{why}, and this data set is for detection. Use a detector "
            "(model=faster_rcnn, model=retinanet), or data for classification (data=digits)."
        )
