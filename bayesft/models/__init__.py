"""Networks, and the dropout sites of any network."""

from bayesft.models.alexnet import AlexNet
from bayesft.models.detection import (
    SmallBackbone,
    check_detections,
    faster_rcnn,
    retinanet,
    torchvision_detector,
)
from bayesft.models.dropout import (
    dropout_vector,
    get_dropout,
    set_dropout,
    site_names,
    sites,
    sleeping_sites,
)
from bayesft.models.lenet import LeNet5
from bayesft.models.mlp import MLP
from bayesft.models.placement import OWN, add_sites, placement
from bayesft.models.pretrained import torchvision_model
from bayesft.models.probe import check_logits
from bayesft.models.resnet import PreActResNet, ResNet18
from bayesft.models.site import remove_sites
from bayesft.models.traffic_sign import TrafficSignNet
from bayesft.models.vgg import VGG11

__all__ = [
    "MLP",
    "OWN",
    "VGG11",
    "AlexNet",
    "LeNet5",
    "PreActResNet",
    "ResNet18",
    "SmallBackbone",
    "TrafficSignNet",
    "add_sites",
    "check_detections",
    "check_logits",
    "dropout_vector",
    "faster_rcnn",
    "get_dropout",
    "placement",
    "remove_sites",
    "retinanet",
    "set_dropout",
    "site_names",
    "sites",
    "sleeping_sites",
    "torchvision_detector",
    "torchvision_model",
]
