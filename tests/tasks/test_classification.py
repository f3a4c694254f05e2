import pytest
import torch
from torch import nn

from bayesft.errors import SettingError
from bayesft.models import faster_rcnn
from bayesft.tasks import Classification

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
LABELS = torch.tensor([0, 1, 1])


def test_the_loss_is_cross_entropy():
    expected = -torch.log_softmax(LOGITS, 1)[range(3), LABELS].mean()
    assert Classification(2).loss(LOGITS, LABELS).item() == pytest.approx(expected.item())


def test_the_score_is_accuracy_under_its_name():
    task = Classification(2)
    [(name, meter)] = task.meters().items()
    meter.update(LOGITS, LABELS)
    assert name == task.name == "acc"
    assert meter.compute().item() == pytest.approx(2 / 3)
    assert task.score(nn.Identity(), (LOGITS, LABELS)).tolist() == [1, 1, 0]


def test_the_clean_score_weighs_images_alike():
    """Batches of two sizes: no mean of batch means."""
    model = nn.Linear(2, 2)
    nn.init.eye_(model.weight)
    nn.init.zeros_(model.bias)
    batches = [(LOGITS[:2], LABELS[:2]), (LOGITS[2:], LABELS[2:])]
    assert Classification(2).clean(model, batches) == pytest.approx(2 / 3)


def test_a_detector_is_no_classifier():
    detector = faster_rcnn(backbone="small", num_classes=3, image_size=32)
    with pytest.raises(SettingError, match=r"FasterRCNN finds boxes.*data=digits_detection"):
        Classification(3).check(detector, (1, 32, 32))


@pytest.mark.parametrize("classes", [0, True, 2.0, "10"])
def test_a_number_of_classes_that_is_none(classes):
    with pytest.raises(SettingError, match="integer of at least 1, but got"):
        Classification(classes)


def test_a_network_with_auxiliary_outputs_is_told():
    with pytest.raises(SettingError, match=r"when it trains.*a tuple of 2.*aux_logits=false"):
        Classification(2).loss((LOGITS, LOGITS), LABELS)


def test_the_loss_takes_probabilities_and_small_integers():
    task = Classification(2)
    expected = task.loss(LOGITS, LABELS).item()
    assert task.loss(LOGITS, LABELS.to(torch.uint8)).item() == expected
    assert task.loss(LOGITS, torch.eye(2)[LABELS]).item() == pytest.approx(expected)
