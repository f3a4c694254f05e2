"""One class for an image."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from bayesft.models import check_logits
from bayesft.robustness import accuracy, clean_score
from bayesft.tasks.base import Task


class Classification(Task):
    """Networks map images to logits of shape `(n, num_classes)`; the score is accuracy.

    Training minimises the cross-entropy between logits and labels, int64 of shape `(n,)`.

    Args:
        num_classes: classes, at least 1.
        name: of the score in logs.
        title: of the score in tables and figures.

    Raises:
        SettingError: the number of classes is none.
    """

    clean_name = "clean_accuracy"
    score = staticmethod(accuracy)

    def __init__(self, num_classes: int, *, name: str = "acc", title: str = "accuracy") -> None:
        super().__init__(num_classes, name=name, title=title)

    def check(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        check_logits(network, image_shape, self.num_classes)

    def inputs(self, images: Tensor, targets: Tensor) -> tuple:
        return (images,)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def meters(self) -> dict[str, Metric]:
        return {self.name: MulticlassAccuracy(self.num_classes, average="micro")}

    def clean(self, model: nn.Module, batches: Iterable[Any]) -> float:
        return clean_score(model, batches)
