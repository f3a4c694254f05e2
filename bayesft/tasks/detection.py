"""Boxes around the objects of an image."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.errors import DataError, SettingError
from bayesft.models.detection import check_detections
from bayesft.models.detection.probe import PARTS
from bayesft.robustness import clean_visit
from bayesft.robustness.batches import form_of
from bayesft.tasks.base import Task

with warnings.catch_warnings():
    # pycocotools asks NumPy in a way that it deprecates; nothing is wrong.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from torchmetrics.detection import MeanAveragePrecision

TITLES = {"map_50": "mAP@.5", "map": "mAP@[.5:.95]", "map_75": "mAP@.75"}
SCORES = tuple(TITLES)
# What a target tells of each object.
_PLACES = ("boxes", "labels")

Detections = Sequence[Mapping[str, Tensor]]


class Detection(Task):
    """Networks map images to boxes with classes; the score is mean average precision.

    Images come as a list of tensors `(channels, h, w)`, and targets as a list of dicts with
    `boxes` `(k, 4)`, x1 y1 x2 y2 in pixels, and `labels` `(k,)`, int64 from 1 on: class 0 is
    the background. In eval mode a network returns a list of dicts with `boxes`, `labels` and
    `scores`; in training mode, given the targets as well, a dict of losses, whose sum is
    minimised. That is how torchvision's detectors have it.

    Mean average precision is no mean over images: it ranks the detections of a set of
    images by their scores. Under drift a draw is scored on its own subset of images, so what
    is estimated is the expected precision *of a subset of that size* on one chip. On few
    images it is a little larger than on many, since fewer detections are ranked
    together; compare scores of equal `images_per_draw`.

    A drifted network may find nothing or boxes that are not finite: such a draw has no
    answer, and its score is NaN, which an evaluation counts and takes as 0.

    Args:
        num_classes: with the background, at least 2.
        name: of the score: map_50, at an overlap (IoU) of .5; map, the mean over .5 to
            .95; or map_75.
        title: of the score in tables and figures; None for what it is usually called.

    Raises:
        SettingError: a score that there is not or that goes by another one's title, or no class.
    """

    def __init__(self, num_classes: int, *, name: str = "map_50", title: str | None = None) -> None:
        super().__init__(num_classes, name=name, title=title or TITLES.get(name, name))
        if name not in SCORES:
            raise SettingError(
                f"Expected `task.name` to be one of {', '.join(SCORES)}, but got {name!r}."
            )
        if self.title in TITLES.values() and self.title != TITLES[name]:
            raise SettingError(
                f"`task.title` is {title!r}, but task.name={name} is {TITLES[name]}: tables would "
                f"call it what it is not. Set \"task.title='{TITLES[name]}'\" as well."
            )
        if num_classes < 2:
            raise SettingError(
                "Expected `task.num_classes` of a detection to be at least 2, since the "
                f"background is one, but got {num_classes}. It comes from `data.num_classes`."
            )

    def check(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        check_detections(network, image_shape)

    def check_batch(self, batch: Any, source: str, *, training: bool) -> None:
        super().check_batch(batch, source, training=training)
        images, targets = batch
        for image in images:
            if not isinstance(image, Tensor) or image.ndim != 3:
                raise SettingError(
                    f"Expected `{source}` to give images as a list of tensors (channels, height, "
                    f"width), but got {form_of(images)} with {form_of(image)} in it. Give its "
                    "loader collate_fn=lambda samples: tuple(zip(*samples))."
                )
        if not isinstance(targets, (tuple, list)) or len(targets) != len(images):
            raise SettingError(
                f"Expected `{source}` to give a list of {len(images)} targets, one for each image, "
                f"but got {form_of(targets)}. Give its loader "
                "collate_fn=lambda samples: tuple(zip(*samples))."
            )
        for target in targets:
            self._check_target(target, source)

    def check_targets(self, targets: Any, source: str) -> None:
        for target in targets:
            labels = target.get("labels") if isinstance(target, Mapping) else None
            if not isinstance(labels, Tensor) or labels.device.type == "cpu":
                self._check_target(target, source)

    def _check_target(self, target: Any, source: str) -> None:
        parts = [target.get(name) if isinstance(target, Mapping) else None for name in _PLACES]
        if not all(isinstance(part, Tensor) for part in parts):
            raise SettingError(
                f"Expected each target of `{source}` to be a dict with the tensors `boxes` and "
                f"`labels`, but got {form_of(target)}."
            )
        boxes, labels = parts
        if labels.ndim != 1 or labels.dtype != torch.int64 or boxes.shape != (len(labels), 4):
            raise SettingError(
                f"Expected the targets of `{source}` to have boxes of shape (k, 4) and labels of "
                f"shape (k,), int64, but got boxes, {form_of(boxes)}, and labels, "
                f"{form_of(labels)}, {labels.dtype}. Where nothing is on an image they are "
                "torch.zeros(0, 4) and torch.zeros(0, dtype=torch.int64)."
            )
        if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise SettingError(
                f"Expected the labels of `{source}` to be from 1 to {self.num_classes - 1}, for "
                f"`data.num_classes` is {self.num_classes} with the background, 0, but got "
                f"{int(labels.min())} to {int(labels.max())}. Correct data.num_classes, or count "
                "classes from 1."
            )

    def inputs(self, images: Sequence[Tensor], targets: Sequence[dict]) -> tuple:
        return list(images), list(targets)

    def loss(self, outputs: Mapping[str, Tensor], targets: Any) -> Tensor:
        return sum(outputs.values())

    def validation_loss(self, outputs: Any, targets: Any) -> None:
        return None

    def meters(self) -> dict[str, "AveragePrecision"]:
        return {name: AveragePrecision(name) for name in dict.fromkeys((self.name, *SCORES[:2]))}

    def score(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the mean average precision on the images of `batch`, a 0-d tensor.

        Raises:
            DataError: there is no object on any of them.
        """
        images, targets = batch
        if not any(len(target["labels"]) for target in targets):
            raise DataError(
                f"There is no object on any of {len(targets)} images that a draw is scored on, and "
                "no precision without one. Raise evaluation.*.images_per_draw."
            )
        found = model(images)
        boxes = torch.cat([each["boxes"] for each in found])
        if len(boxes) == 0 or not torch.isfinite(boxes).all():
            return boxes.new_tensor(torch.nan)
        meter = AveragePrecision(self.name, alone=True).to(boxes.device)
        meter.update(found, targets)
        return meter.compute().to(boxes.device)

    def clean(self, model: nn.Module, batches: Iterable[Any]) -> float:
        meter = AveragePrecision(self.name, alone=True)

        def see(batch: Any) -> None:
            images, targets = batch
            meter.update(model(images), targets)

        clean_visit(model, batches, see)
        return float(meter.compute())


class AveragePrecision(MeanAveragePrecision):
    """One value of torchmetrics' mean average precision.

    Args:
        name: which one.
        alone: whether it is of what this process has seen. Else processes that train
            together compute the one of all of their images.

    Raises:
        SettingError: what computes it is not installed.
    """

    def __init__(self, name: str, *, alone: bool = False) -> None:
        try:
            super().__init__(sync_on_compute=not alone)
        except ModuleNotFoundError as error:
            raise SettingError(
                "Mean average precision is computed by pycocotools, which is not installed. "
                "Install it with the project: pip install '.[detection]'."
            ) from error
        # A drifted network can find hundreds on an image, of which the surest 100 count; it
        # would say so for every draw.
        self.warn_on_many_detections = False
        self.name = name

    def update(self, found: Detections, targets: Detections) -> None:
        """Take the detections and the objects of some images; those not finite are left out."""
        super().update([_finite(each) for each in found], list(targets))

    def compute(self) -> Tensor:
        """Return the precision; 0 where there was no object."""
        return super().compute()[self.name].clamp(min=0)


def _finite(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    kept = torch.isfinite(found["boxes"]).all(1) & torch.isfinite(found["scores"])
    return {part: found[part][kept] for part in PARTS}
