"""One class for an image."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from bayesft.errors import SettingError
from bayesft.models import check_logits
from bayesft.robustness import accuracy, clean_score
from bayesft.robustness.batches import form_of
from bayesft.tasks.base import Task


class Classification(Task):
    """Networks map images to logits of shape `(n, num_classes)`; the score is accuracy.

    Training minimises the cross-entropy between logits and labels, integers of shape `(n,)`; a
    batch that is trained on may also have the probability of each class, `(n, num_classes)`.

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

    def check_batch(self, batch: Any, source: str, *, training: bool) -> None:
        super().check_batch(batch, source, training=training)
        images, labels = batch
        classes = self.num_classes
        if not isinstance(labels, Tensor):
            raise SettingError(
                f"Expected the labels of `{source}` to be a tensor of shape (n,), but got "
                f"{form_of(labels)}. Have its data set return each as an int."
            )
        if training and labels.is_floating_point() and labels.shape[1:] == (classes,):
            # The probability of each class, as mixing images makes them.
            return
        count = len(images) if isinstance(images, Tensor) else len(labels)
        if labels.shape != (count,) or labels.is_floating_point():
            raise SettingError(
                f"Expected the labels of `{source}` to be integers of shape ({count},), the class "
                f"of each image, but got {form_of(labels)}, {labels.dtype}. Give "
                "labels.squeeze(1).long(), or of one-hot labels labels.argmax(1)."
            )
        self._check_range(labels, source)

    def check_targets(self, targets: Any, source: str) -> None:
        labels = isinstance(targets, Tensor) and not targets.is_floating_point()
        if labels and targets.device.type == "cpu":
            self._check_range(targets, source)

    def _check_range(self, labels: Tensor, source: str) -> None:
        classes = self.num_classes
        if not labels.numel():
            return
        low, high = (int(each) for each in torch.aminmax(labels))
        if low < 0 or high >= classes:
            raise SettingError(
                f"Expected the labels of `{source}` to be from 0 to {classes - 1}, for "
                f"`data.num_classes` is {classes}, but got {low} to {high}. Count classes from 0, "
                "or correct data.num_classes."
            )

    def inputs(self, images: Tensor, targets: Tensor) -> tuple:
        return (images,)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not isinstance(outputs, Tensor):
            raise SettingError(
                "Expected the network to give logits when it trains, a tensor of shape (n, "
                f"{self.num_classes}), but got {form_of(outputs)}. One with auxiliary outputs can "
                "do without (torchvision's: +model.aux_logits=false); for another, write a task."
            )
        # Of integers it takes int64 alone.
        targets = targets if targets.is_floating_point() else targets.long()
        return nn.functional.cross_entropy(outputs, targets)

    def meters(self) -> dict[str, Metric]:
        return {self.name: MulticlassAccuracy(self.num_classes, average="micro")}

    def clean(self, model: nn.Module, batches: Iterable[Any]) -> float:
        return clean_score(model, batches)
