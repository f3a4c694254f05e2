"""Detectors from their configs: the same commands as for classifiers."""

import json

import pytest
import torch
import yaml

from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.app.train import fitted
from bayesft.report.examples import Examples
from bayesft.robustness import Curve
from tests.helpers.app import composed, search, train_many
from tests.helpers.pedestrians import write_penn_fudan

AMOUNTS = (
    "evaluation.sigmas=[0.1,0.3]",
    "evaluation.validation={draws: 2, images_per_draw: 4}",
    "evaluation.objective={draws: 2, images_per_draw: 4}",
    "evaluation.test={draws: 3, images_per_draw: 4}",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
)
TINY = (
    "experiment=detection",
    "data.train_size=16",
    "data.val_size=8",
    "data.test_size=8",
    *AMOUNTS,
)


def test_a_training(tmp_path, capsys):
    score = train(composed(tmp_path, *TINY))
    assert "Test mAP@.5 under drift" in capsys.readouterr().out
    curve = Curve.from_json(tmp_path / "test_curve.json")
    assert curve.sigmas == (0.0, 0.1, 0.3)
    assert score == curve.at([0.1, 0.3]).mean
    examples = Examples.load(tmp_path / "example_detections.npz")
    assert list(examples.found) == [0.0, 0.3, 0.6]
    assert (tmp_path / "example_detections.png").stat().st_size > 10_000
    [file] = (tmp_path / "metrics").rglob("metrics.csv")
    metrics = file.read_text().splitlines()[0]
    for name in ("val/map_50", "val/map", "val/drift_map_50", "val/drift_map_50/0.3", "test/map"):
        assert name in metrics.split(",")


def test_a_test_on_a_gpu(request, tmp_path):
    """To the score of the CPU that trained it; a pretended one learns nothing."""
    score = train(composed(tmp_path / "cpu", *TINY))
    request.getfixturevalue("gpu")
    [weights] = (tmp_path / "cpu" / "checkpoints").glob("best*.ckpt")
    gpu = ["trainer.accelerator=gpu", "+trainer.inference_mode=false", f"test_only='{weights}'"]
    assert train(composed(tmp_path / "gpu", *TINY, *gpu)) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize(
    "method",
    [
        "noise_injection method.ramp=0",
        "awp",
        "sam",
        "samson",
        "reram_v method.plain=0",
        "rescue method.plain=0 method.faults.target=crossbar",
    ],
)
def test_a_method_serves_detection_too(tmp_path, method):
    """Each moves every weight, and to another place than plain training does."""
    weights = []
    for each in ("erm optimizer.lr=0", "erm", method):
        name, *settings = each.split()
        cfg = composed(tmp_path / str(len(weights)), *TINY, f"method={name}", *settings)
        with fitted(cfg) as run:
            weights.append(dict(run.module.model.named_parameters()))
    start, plain, ours = weights
    for name, weight in ours.items():
        assert weight.isfinite().all()
        assert not torch.equal(weight, start[name])
    assert any(not torch.equal(weight, plain[name]) for name, weight in ours.items())


def test_a_search_on_pedestrians(tmp_path, capsys):
    """The real layout on disk, from images to the table of the best network."""
    write_penn_fudan(tmp_path / "data")
    search(
        tmp_path / "search",
        "experiment=detection",
        "data=penn_fudan",
        f"data.data_dir={tmp_path / 'data'}",
        "data.val_size=6",
        "data.test_size=6",
        "data.image_size=48",
        "data.num_workers=0",
        *AMOUNTS,
        "hydra.sweeper.n_trials=2",
    )
    shown = capsys.readouterr().out
    assert "Test mAP@.5 under drift" in shown
    results = yaml.safe_load((tmp_path / "search" / "optimization_results.yaml").read_text())
    assert results["num_trials"] == 2
    assert len(results["best_params"]["model.dropout"]) == 5
    rows = map(json.loads, (tmp_path / "search" / "journal.jsonl").read_text().splitlines())
    told = [row for row in rows if "clean_map_50" in json.dumps(row)]
    assert len(told) == 2


def test_a_comparison(tmp_path, capsys):
    detection, *others = TINY
    train_many(
        tmp_path, detection.replace("detection", "[compare,detection]"), *others,
        "contender=erm,dropout", "seed=0",
    )  # fmt: skip
    shown = capsys.readouterr().out
    assert "mAP@.5 on test images" in shown
    assert "Missing" not in shown
    assert "mAP@.5_0.3," in (tmp_path / "comparison.csv").read_text()
    page = (tmp_path / "comparison.html").read_text()
    assert "mAP@.5 at each strength of the drift" in page
    assert "ccuracy" not in page
    # A row for each contender.
    height = int.from_bytes((tmp_path / "example_detections.png").read_bytes()[20:24], "big")
    assert height == round((2 * 1.9 + 0.6) * 150)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=digits", "model=faster_rcnn", "model.backbone=small"],
         r"FasterRCNN finds boxes, and the images of this data set have one class each"),
        (["data=digits_detection", "model=lenet5", "data.image_size=28"],
         r"LeNet5 does not give boxes, .*Use a detector"),
        ([*TINY, "method=ftna"], r"FTNA gives classes codewords, but this task is detection"),
        ([*TINY, "evaluation.objective.images_per_draw=0"], r"images_per_draw"),
        (["data=digits", "callbacks=detection"],
         r"ExampleDetections shows boxes, but this task is classification"),
        ([*TINY, "callbacks.example_detections.images=0"], r"images` to be an integer of at"),
        ([*TINY, "task.name=mAP"], r"`task.name` to be one of map_50, map, map_75"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_message(tmp_path, overrides, message):
    with pytest.raises(CommandError, match=message):
        train(composed(tmp_path, *overrides))
