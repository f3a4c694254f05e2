"""Whether a network is a detector."""

from typing import Any

from torch import nn

from bayesft.errors import SettingError
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
    with probing(model, image_shape) as batch:
        outputs = model(list(batch))
    if not is_detections(outputs):
        raise SettingError(
            f"{type(model).__name__} does not give boxes, labels and scores for each image, which "
            "this data set is for. Use a detector (model=faster_rcnn, model=retinanet), or data "
            "for classification (data=digits)."
        )
