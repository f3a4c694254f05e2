"""Detectors: torchvision's as they are, and on a backbone that trains on a CPU in minutes."""

from bayesft.models.detection.backbone import SmallBackbone
from bayesft.models.detection.detectors import faster_rcnn, retinanet
from bayesft.models.detection.probe import check_detections
from bayesft.models.detection.published import torchvision_detector

__all__ = [
    "SmallBackbone",
    "check_detections",
    "faster_rcnn",
    "retinanet",
    "torchvision_detector",
]
