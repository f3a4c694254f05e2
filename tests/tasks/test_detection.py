import pytest
import torch
from torch import nn
from torchmetrics.detection import mean_ap

from bayesft.drift import LogNormalDrift
from bayesft.errors import DataError, SettingError
from bayesft.robustness import evaluate
from bayesft.tasks import Detection

TASK = Detection(3)
SQUARE = torch.tensor([[10.0, 10.0, 30.0, 30.0]])
ELSEWHERE = torch.tensor([[60.0, 60.0, 80.0, 80.0]])


def target(boxes=SQUARE, label=1):
    return {"boxes": boxes, "labels": torch.full((len(boxes),), label)}


def found(boxes=SQUARE, label=1, score=0.9):
    return target(boxes, label) | {"scores": torch.full((len(boxes),), score)}


class Answers(nn.Module):
    """Says of image number i, which is its first pixel, the i-th of some answers."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = answers
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images, targets=None):
        if self.training:
            return {"boxes": self.weight.sum(), "classes": 2 * self.weight.sum()}
        return [self.answers[int(image[0, 0, 0])] for image in images]


def batch(*targets):
    return [torch.full((1, 8, 8), float(i)) for i in range(len(targets))], list(targets)


def score(answers, targets, task=TASK):
    return float(task.score(Answers(*answers).eval(), batch(*targets)))


def test_a_box_in_its_place_with_its_class():
    assert score([found()], [target()]) == 1.0
    assert score([found(label=2)], [target()]) == 0.0
    assert score([found(ELSEWHERE)], [target()]) == 0.0


def test_overlap():
    # An overlap of (20 - 4.5) / (20 + 4.5) = .63.
    shifted = SQUARE + torch.tensor([0.0, 4.5, 0.0, 4.5])
    assert score([found(shifted)], [target()]) == 1.0
    assert score([found(shifted)], [target()], Detection(3, name="map_75")) == 0.0
    # Right at .5, .55 and .6 of the ten overlaps from .5 to .95.
    assert score([found(shifted)], [target()], Detection(3, name="map")) == pytest.approx(0.3)


def test_it_ranks_the_detections_of_all_images_together():
    """A sure mistake on one image costs what is found on another: no mean over images."""
    answers = [found(score=0.5), found(ELSEWHERE, score=0.9)]
    targets = [target(), target(ELSEWHERE + 10)]
    together = score(answers, targets)
    # Of two objects one is found, in second place: precision 1/2 up to a recall of 1/2.
    assert together == pytest.approx(0.5 * 51 / 101)
    alone = [score([answer], [each]) for answer, each in zip(answers, targets, strict=True)]
    assert sum(alone) / 2 == 0.5


def test_the_clean_score_is_of_all_batches_together():
    answers = [found(score=0.5), found(ELSEWHERE, score=0.9)]
    images, targets = batch(target(), target(ELSEWHERE + 10))
    model = Answers(*answers).train()
    parts = [([image], [each]) for image, each in zip(images, targets, strict=True)]
    assert TASK.clean(model, parts) == pytest.approx(0.5 * 51 / 101)
    assert model.training


@pytest.mark.parametrize(
    "answer",
    [found(torch.full((1, 4), torch.nan)), found(torch.full((1, 4), torch.inf)),
     found(SQUARE[:0])],
    ids=["nan", "inf", "none"],
)  # fmt: skip
def test_a_network_without_an_answer_counts_as_0(answer):
    model, (images, targets) = Answers(answer, answer), batch(target(), target())
    curve = evaluate(
        model, [(images, targets)], LogNormalDrift(), [0.5], 3, images_per_draw=2, score=TASK.score
    )
    [point] = curve.points
    assert (point.mean, point.nonfinite, point.draws) == (0.0, 3, 3)


def test_a_draw_is_scored_on_its_own_images():
    """Two images, one right and one wrong: each draw of one image has 0 or 1."""
    model = Answers(found(), found(ELSEWHERE))
    curve = evaluate(
        model, [batch(target(), target())], LogNormalDrift(), [0.0], 6, images_per_draw=1,
        score=TASK.score,
    )  # fmt: skip
    assert sorted(curve.scores[0]) == [0, 0, 0, 1, 1, 1]


def test_training_minimises_the_sum_of_the_losses():
    images, targets = batch(target())
    model = Answers().train()
    assert TASK.loss(model(*TASK.inputs(images, targets)), targets).item() == 3.0


def test_meters_leave_out_boxes_that_are_not_finite():
    boxes = torch.cat([torch.full((1, 4), torch.nan), SQUARE])
    meters = TASK.meters()
    assert list(meters) == ["map_50", "map"]
    for meter in meters.values():
        meter.update([found(boxes)], [target()])
        assert meter.compute() == 1.0


def test_images_without_an_object():
    with pytest.raises(DataError, match="no object on any of 2 images"):
        score([found(), found()], [target(SQUARE[:0]), target(SQUARE[:0])])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "at least 2, since the background is one"),
        ({"num_classes": 0}, "`task.num_classes` to be an integer of at least 1, but got 0"),
        ({"num_classes": 3, "name": "mAP"}, "map_50, map, map_75, but got 'mAP'"),
        (
            {"num_classes": 3, "name": "map", "title": "mAP@.5"},
            r"Set \"task.title='mAP@\[.5:.95\]'",
        ),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        Detection(**settings)


def test_a_score_goes_by_its_own_title():
    titles = [Detection(3, name=name).title for name in ("map_50", "map", "map_75")]
    assert titles == ["mAP@.5", "mAP@[.5:.95]", "mAP@.75"]
    assert Detection(3, name="map", title="precision").title == "precision"


def test_what_computes_it_is_not_installed(monkeypatch):
    for name in ("_PYCOCOTOOLS_AVAILABLE", "_FASTER_COCO_EVAL_AVAILABLE"):
        monkeypatch.setattr(mean_ap, name, False)
    with pytest.raises(SettingError, match=r"pycocotools.*pip install '\.\[detection\]'"):
        TASK.meters()


def test_a_classifier_is_no_detector():
    with pytest.raises(SettingError, match=r"_Classifier.* boxes.*model=faster_rcnn"):
        TASK.check(_Classifier(), (1, 8, 8))


class _Classifier(nn.Linear):
    def __init__(self):
        super().__init__(64, 3)

    def forward(self, images):
        return super().forward(torch.stack(list(images)).flatten(1))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda images, targets: ([3], targets), "a list of 1 with an int in it"),
        (lambda images, targets: [images, targets, targets], r"\(images, targets\).*a list of 3"),
        (
            lambda images, targets: (images[0], targets),
            r"as a list of tensors.*tensor of shape \(8, 8\)",
        ),
        (lambda images, targets: (images, targets[0]), "a list of 1 targets.*but got a dict"),
        (lambda images, targets: (images, []), "a list of 1 targets.*but got a list of 0"),
        (lambda images, targets: (images, [{"boxes": SQUARE}]), "tensors `boxes` and `labels`"),
        (lambda images, targets: (images, [3]), "tensors `boxes` and `labels`, but got an int"),
        (lambda images, targets: (images, [target(SQUARE[0])]), r"boxes, a tensor of shape \(4,\)"),
        (lambda images, targets: (images, [target(label=1.0)]), r"\(1,\), torch.float32"),
        (lambda images, targets: (images, [target(label=0)]), "from 1 to 2.* is 3.*got 0 to 0"),
        (lambda images, targets: (images, [target(label=3)]), "from 1 to 2.* is 3.*got 3 to 3"),
    ],
)
def test_a_batch_of_another_form_is_told(wrong, words):
    with pytest.raises(SettingError, match=words):
        TASK.check_batch(wrong(*batch(target())), "val_dataloader", training=False)


def test_batches_as_they_should_be():
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    images, targets = batch(target(label=2), nothing)
    for given in (images, tuple(images), torch.stack(images)):
        TASK.check_batch((given, tuple(targets)), "train_dataloader", training=True)
