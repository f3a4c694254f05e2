import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from bayesft.drift import Chip, LogNormalDrift, drifted
from bayesft.errors import SettingError
from bayesft.models import (
    add_sites,
    faster_rcnn,
    get_dropout,
    retinanet,
    set_dropout,
    site_names,
    torchvision_detector,
)
from bayesft.models.detection.published import freeze_norms

DETECTORS = [faster_rcnn, retinanet]
TARGET = {"boxes": torch.tensor([[4.0, 4.0, 20.0, 20.0]]), "labels": torch.tensor([1])}


def small(make, **settings):
    torch.manual_seed(0)
    return make(backbone="small", num_classes=3, image_size=32, **settings)


def images(*sizes, channels=1):
    return [torch.rand(channels, *size) for size in sizes]


@pytest.fixture(params=DETECTORS, ids=lambda make: make.__name__)
def make(request):
    return request.param


def test_it_finds_boxes(make):
    found = small(make).eval()(images((32, 32), (32, 40)))
    assert len(found) == 2
    for each in found:
        assert each["boxes"].shape == (len(each["labels"]), 4)
        assert set(each["labels"].tolist()) <= {1, 2}


def test_it_learns_one_picture(make):
    model, [image] = small(make), images((32, 32))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(120):
        loss = sum(model([image], [TARGET]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    [found] = model.eval()([image])
    best = found["scores"].argmax()
    assert found["labels"][best] == 1
    assert torch.allclose(found["boxes"][best], TARGET["boxes"][0], atol=3)


def test_sites_of_a_stage_are_its_feature_maps(make):
    model = small(make)
    add_sites(model, (1, 32, 32), tie="stage")
    # 32, 16, 8 and 4 pixels; a detector of two stages has vectors as well.
    stages = ["stage1", "stage2", "stage3", "stage4"]
    assert list(site_names(model)) == stages + ["head"] * (make is faster_rcnn)


def test_sites_of_blocks_leave_out_the_last_layers(make):
    model = small(make)
    add_sites(model, (1, 32, 32))
    last = {"rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_predictor.cls_score"}
    last |= {"head.classification_head.cls_logits", "head.regression_head.bbox_reg"}
    assert last.isdisjoint(site_names(model))
    assert "backbone.stage1.0.0" in site_names(model)


def test_dropout_acts_while_training_alone(make):
    model = small(make)
    add_sites(model, (1, 32, 32), tie="stage", dropout=0.5)
    inputs = images((32, 32)), [TARGET]
    losses = {sum(model(*inputs).values()).item() for _ in range(3)}
    assert len(losses) == 3
    model.eval()
    first, again = model(inputs[0]), model(inputs[0])
    assert torch.equal(first[0]["boxes"], again[0]["boxes"])


def test_a_copy_has_rates_of_its_own(make):
    model = small(make)
    add_sites(model, (1, 32, 32), tie="stage")
    other = copy.deepcopy(model)
    set_dropout(other, 0.3)
    assert set(get_dropout(model)) == {0.0}


@pytest.mark.parametrize("sigma", [0.5, 5.0, 50.0])
def test_strong_drift_crashes_nothing(make, sigma):
    model = small(make).eval()
    with torch.no_grad(), drifted(model, LogNormalDrift(), sigma, Chip(0, 0)):
        assert len(model(images((32, 32), (32, 32)))) == 2


def test_colours_and_a_norm(make):
    model = small(make, channels=3, norm="batch", activation="elu").eval()
    assert len(model(images((32, 32), channels=3))) == 1
    assert any(isinstance(module, torch.nn.ELU) for module in model.modules())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "tiny"}, "`model.backbone` to be one of small, resnet50, but got 'tiny'"),
        ({"backbone": "small", "weights": "COCO_V1"}, "`model.weights` is 'COCO_V1', but"),
        ({"backbone": "small", "norm": "group2"}, "`model.norm` to be one of"),
        ({"backbone": "small", "nms_thres": 3}, "`model.nms_thres` is no setting"),
        ({"backbone": "resnet50", "norm": "batch"}, "`model.norm` is no setting of torch"),
        ({"backbone": "resnet50", "channels": 1}, "`data.channels` is 1. Set data.channels=3"),
        ({"backbone": "resnet50", "weights": "COCO_V7"}, "`model.weights` is 'COCO_V7'"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(SettingError, match=message):
        make(num_classes=3, **settings)


def test_parts_that_torchvision_refuses():
    with pytest.raises(SettingError, match=r"RetinaNet cannot be made so .*anchor_generator"):
        retinanet(backbone="small", num_classes=3, anchor_generator=3)


def test_an_unknown_detector():
    with pytest.raises(SettingError, match=r"no detector of torchvision.*fasterrcnn"):
        torchvision_detector("fasterrcnn_resnet18", num_classes=3)


def test_norms_that_were_frozen_stay_so():
    """As of the published weights: no norm in them counts batches."""
    live = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
    state = {k: v for k, v in live.state_dict().items() if not k.endswith("num_batches_tracked")}
    state["1.0.running_mean"] = torch.tensor([1.0, 2.0])
    counted = copy.deepcopy(live)
    freeze_norms(counted, live.state_dict(), epsilon=0.0)
    assert isinstance(counted[1][0], nn.BatchNorm2d)
    freeze_norms(live, state, epsilon=0.0)
    live.load_state_dict(state)
    assert isinstance(live[1][0], FrozenBatchNorm2d)
    expected = live[0](image := torch.rand(3, 1, 2, 2)) - torch.tensor([1.0, 2.0])[:, None, None]
    assert torch.allclose(live.train()(image), expected)


@pytest.mark.slow
@pytest.mark.parametrize("make", DETECTORS, ids=lambda make: make.__name__)
def test_weights_as_they_are_published(make, tmp_path):
    model = make(num_classes=91, image_size=64)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, file := tmp_path / "weights.pt")
    other = make(num_classes=3, image_size=64, weights=str(file))
    assert other.backbone.body.bn1.eps == 0.0
    assert torch.equal(other.backbone.body.conv1.weight, model.backbone.body.conv1.weight)


@pytest.mark.slow
@pytest.mark.parametrize("make", DETECTORS, ids=lambda make: make.__name__)
def test_torchvisions_own(make, tmp_path):
    """Sites by stage; and weights for other classes, but for the last layers."""
    model = make(num_classes=3, image_size=64).eval()
    add_sites(model, (3, 64, 64), tie="stage")
    assert site_names(model)[0] == "stage1"
    assert len(site_names(model)) < 10
    file = tmp_path / "weights.pt"
    torch.save(model.state_dict(), file)
    other = make(num_classes=5, image_size=64, weights=str(file)).eval()
    same, own = model.state_dict(), other.state_dict()
    new = {name for name in own if own[name].shape != same[name].shape}
    assert new
    assert all("box_predictor" in name or "cls_logits" in name for name in new)
    assert all(torch.equal(own[name], same[name]) for name in own.keys() - new)
