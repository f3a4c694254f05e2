"""The detectors of torchvision, with or without their trained weights."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from bayesft.errors import SettingError, reason_of
from bayesft.models.pretrained import load_weights, read_weights

# How many layers say what class and which box; with another number of classes they are new.
_LAST_LAYERS = {"fasterrcnn": 2}

# Whose published weights were trained when torchvision's frozen norms had no epsilon.
_NO_EPSILON = tuple(
    f"{family}_resnet50_fpn" for family in ("fasterrcnn", "retinanet", "maskrcnn", "keypointrcnn")
)


def torchvision_detector(
    name: str,
    *,
    num_classes: int,
    channels: int = 3,
    image_size: int | None = None,
    weights: str | None = None,
    weights_backbone: str | None = None,
    **settings: Any,
) -> nn.Module:
    """Return a detector of torchvision.

    Shapes: a list of n images `(channels, h, w)` in [0, 1] to n detections, each with
    `boxes` `(k, 4)` in pixels, x1 y1 x2 y2, and `labels` and `scores` `(k,)`; in training
    mode, with the targets, to a dict of losses.

    Args:
        name: as `torchvision.models.list_models(module=torchvision.models.detection)` has it.
        num_classes: with the background, which is class 0.
        channels: of the images; torchvision's backbones take 3.
        image_size: the longer side that images are brought to; None for torchvision's own.
        weights: null; a name among the detector's weights (COCO_V1, DEFAULT), which are
            downloaded once; or a file. The last layers are new for other classes. Batch norms
            that were frozen when the weights were trained stay so.
        weights_backbone: null, or a name among the backbone's (IMAGENET1K_V1).
        settings: of the detector in torchvision.

    Raises:
        SettingError: an unknown name or weights, weights that cannot be downloaded or do
            not fit, or settings that the detector refuses.
    """
    names = torchvision.models.list_models(module=torchvision.models.detection)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=3) or names
        raise SettingError(
            f"`model.name` is {name!r}, which is no detector of torchvision. Expected one of "
            f"{', '.join(near)}."
        )
    if channels != 3:
        raise SettingError(
            f"{name} takes colour images, but `data.channels` is {channels}. Set data.channels=3, "
            "or take a small network: model.backbone=small."
        )
    # Before the model, which is large.
    state = None if weights is None else read_weights(name, weights)
    if image_size is not None and not name.startswith("ssd"):
        settings = {"min_size": image_size, "max_size": image_size} | settings
    try:
        model = torchvision.models.get_model(
            name,
            weights=None,
            weights_backbone=weights_backbone,
            num_classes=num_classes,
            **settings,
        )
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError, OSError) as error:
        raise SettingError(
            f"torchvision's {name} cannot be made with weights_backbone={weights_backbone} and "
            f"{settings} ({reason_of(error)}). Its settings are in the documentation of "
            f"torchvision.models.detection.{name}."
        ) from error
    builder = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    check_settings(type(model), {k: v for k, v in settings.items() if k not in builder})
    if state is not None:
        freeze_norms(model, state, epsilon=0.0 if name in _NO_EPSILON else 1e-5)
        family = name.partition("_")[0]
        load_weights(model, state, f"{weights} of {name}", last_layers=_LAST_LAYERS.get(family, 1))
    return model


def freeze_norms(model: nn.Module, state: Mapping[str, Tensor], *, epsilon: float) -> None:
    """Make the batch norms of `model` frozen ones where those in `state` were.

    torchvision decides this by whether it is asked for weights itself: without, its norms
    are live ones, which count batches, and the published weights have no counters for them.

    Args:
        model: changed in place.
        state: weights by name.
        epsilon: of the frozen norms.
    """
    for name, module in list(model.named_modules()):
        learnt = f"{name}.running_mean" in state and f"{name}.num_batches_tracked" not in state
        if learnt and isinstance(module, nn.BatchNorm2d):
            parent, _, own = name.rpartition(".")
            frozen = FrozenBatchNorm2d(module.num_features, epsilon)
            setattr(model.get_submodule(parent), own, frozen)


def check_settings(kind: type[nn.Module], settings: Mapping[str, Any]) -> None:
    """Raise `SettingError` for a setting that detectors of a kind would silently ignore."""
    known = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise SettingError(
                f"`model.{name}` is no setting of torchvision's {kind.__name__}. Did you mean "
                f"{', '.join(near)}?"
            )
