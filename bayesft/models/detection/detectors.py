"""Faster R-CNN and RetinaNet by name of their backbone: torchvision's, or a small one.

Of the small ones all is torchvision's as well but the backbone; anchors, proposals and heads are
cut to images of 32 to 128 pixels with objects of 10 to 36.
"""

from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from bayesft.errors import SettingError, reason_of
from bayesft.models.detection.backbone import MAPS, SmallBackbone
from bayesft.models.detection.published import check_settings, torchvision_detector

BACKBONES = ("small", "resnet50")

_SQUARE = (1.0,)
_ROI_SIZE = 5
_HIDDEN = 128
_OF_THE_SMALL = ("width", "norm", "activation")


def faster_rcnn(*, backbone: str = "resnet50", **settings: Any) -> nn.Module:
    """Return Faster R-CNN, a detector of two stages; see `torchvision_detector`.

    Args:
        backbone: `resnet50`, torchvision's with its feature pyramid, or `small`.
        settings: as of `torchvision_detector`; with `small` also width, norm and activation
            of `SmallBackbone`, and further ones are torchvision's `FasterRCNN`'s.

    Raises:
        SettingError: settings that cannot be.

    Source: Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
    Networks", NeurIPS 2015.
    """
    if not _is_small(backbone):
        return torchvision_detector("fasterrcnn_resnet50_fpn", **_published(settings))
    body, num_classes, settings = _small(settings)
    parts = {
        "rpn_anchor_generator": AnchorGenerator(((14,), (24,)), (_SQUARE,) * len(MAPS)),
        "rpn_pre_nms_top_n_train": 200,
        "rpn_pre_nms_top_n_test": 100,
        "rpn_post_nms_top_n_train": 64,
        "rpn_post_nms_top_n_test": 32,
        "rpn_batch_size_per_image": 64,
        "box_roi_pool": MultiScaleRoIAlign(list(MAPS), _ROI_SIZE, sampling_ratio=2),
        "box_head": TwoMLPHead(body.out_channels * _ROI_SIZE**2, _HIDDEN),
        "box_predictor": FastRCNNPredictor(_HIDDEN, num_classes),
        "box_batch_size_per_image": 32,
        "box_detections_per_img": 20,
    }
    return _made(FasterRCNN, body, parts | settings)


def retinanet(*, backbone: str = "resnet50", **settings: Any) -> nn.Module:
    """Return RetinaNet, a detector of one stage; see `torchvision_detector`.

    Args: see `faster_rcnn`.

    Raises:
        SettingError: settings that cannot be.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """
    if not _is_small(backbone):
        return torchvision_detector("retinanet_resnet50_fpn", **_published(settings))
    body, num_classes, settings = _small(settings)
    parts = {
        "num_classes": num_classes,
        "anchor_generator": AnchorGenerator(((12, 17), (24, 32)), (_SQUARE,) * len(MAPS)),
        "topk_candidates": 100,
        "detections_per_img": 20,
    }
    model = _made(RetinaNet, body, parts | settings)
    # torchvision's deviation of .01 is for 256 channels; through four layers of 32 the
    # signal would die.
    for tower in (model.head.classification_head.conv, model.head.regression_head.conv):
        for layer in tower.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def _is_small(backbone: str) -> bool:
    if backbone not in BACKBONES:
        raise SettingError(
            f"Expected `model.backbone` to be one of {', '.join(BACKBONES)}, but got "
            f"{backbone!r}. Other detectors: bayesft.models.torchvision_detector."
        )
    return backbone == BACKBONES[0]


def _published(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without those that only the small backbone has, where they are null."""
    return {k: v for k, v in settings.items() if k not in _OF_THE_SMALL or v is not None}


def _small(settings: dict[str, Any]) -> tuple[SmallBackbone, int, dict[str, Any]]:
    """Return the small backbone, the number of classes, and what is for the detector itself."""
    rest = dict(settings)
    for name in ("weights", "weights_backbone"):
        if rest.pop(name, None) is not None:
            raise SettingError(
                f"`model.{name}` is {settings[name]!r}, but model.backbone=small has no weights to "
                "start from. Set it to null, or use model.backbone=resnet50."
            )
    own = {key: rest.pop(key) for key in _OF_THE_SMALL if rest.get(key) is not None}
    rest = {key: value for key, value in rest.items() if key not in _OF_THE_SMALL}
    channels, size = rest.pop("channels", 1), rest.pop("image_size", None)
    if size is not None:
        rest = {"min_size": size, "max_size": size} | rest
    shades = {"image_mean": [0.0] * channels, "image_std": [1.0] * channels}
    return SmallBackbone(channels=channels, **own), rest.pop("num_classes"), shades | rest


def _made(kind: type[nn.Module], body: nn.Module, parts: dict[str, Any]) -> nn.Module:
    check_settings(kind, parts)
    try:
        return kind(body, **parts)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"torchvision's {kind.__name__} cannot be made so ({reason_of(error)}). Its settings "
            f"are in the documentation of torchvision.models.detection.{kind.__name__}."
        ) from error
