"""A data module of one's own that gives something else than it should is told before training."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from bayesft.app import train
from bayesft.app.errors import CommandError
from tests.helpers.app import SMALL, composed

COUNT = 12


class Own(pl.LightningDataModule):
    """Random images, as digits but for what is given.

    Args:
        form: what is wrong, and with the loader of which name.
        source: that loader; None for all of them.
    """

    def __init__(self, form, source=None, **settings):
        super().__init__()
        self.form, self.source = form, source

    def _loader(self, source):
        wrong = self.source in (None, source)
        return DataLoader(_items(self.form if wrong else "right"), batch_size=4)

    def train_dataloader(self):
        return self._loader("train_dataloader")

    def val_dataloader(self):
        return self._loader("val_dataloader")

    def test_dataloader(self):
        return self._loader("test_dataloader")


def _items(form):
    images, labels = torch.rand(COUNT, 1, 8, 8), torch.arange(COUNT).flip(0) % 10
    if form == "threes":
        return list(zip(images, labels, labels, strict=True))
    if form == "dicts":
        return [{"x": image, "y": label} for image, label in zip(images, labels, strict=True)]
    images = {"large": torch.rand(COUNT, 1, 9, 9)}.get(form, images)
    labels = {
        "one-hot": torch.eye(10)[labels],
        "column": labels[:, None],
        "real": labels.float(),
        "from one": labels + 1,
        "words": [str(int(label)) for label in labels],
        "int32": labels.int(),
        "uint8": labels.byte(),
    }.get(form, labels)
    return list(zip(images, labels, strict=True))


def run_of(folder, form, *overrides, source=None):
    cfg = composed(folder, *SMALL, "trainer.max_epochs=1", *overrides)
    cfg.data._target_ = "tests.app.test_first_batch.Own"
    cfg.data = {**cfg.data, "form": form, "source": source}
    return cfg


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("threes", r"`train_dataloader` to give \(images, targets\), but got a list of 3"),
        ("dicts", r"`train_dataloader` to give \(images, targets\), but got a dict"),
        (
            "one-hot",
            r"`val_dataloader`.*integers of shape \(4,\).*\(4, 10\), torch.float32.*argmax",
        ),
        ("column", r"integers of shape \(4,\).*\(4, 1\), torch.int64.*squeeze"),
        ("real", r"integers of shape \(4,\).*torch.float32.*long"),
        ("from one", r"from 0 to 9, for `data.num_classes` is 10, but got 1 to 10"),
        ("words", r"labels of `train_dataloader` to be a tensor.*but got a tuple of 4"),
        ("large", r"images of 1×8×8 from `train_dataloader`.*but got 1×9×9, which MLP cannot"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, form, words):
    with pytest.raises(CommandError, match=words):
        train(run_of(tmp_path / "run", form))


@pytest.mark.parametrize("source", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_every_loader_is_looked_at(tmp_path, source):
    with pytest.raises(CommandError, match=f"labels of `{source}` to be integers"):
        train(run_of(tmp_path / "run", "column", source=source))


@pytest.mark.parametrize("form", ["int32", "uint8"])
def test_integers_of_any_size_are_labels(tmp_path, form):
    assert train(run_of(tmp_path / "run", form)) >= 0


def test_probabilities_of_classes_can_be_trained_on(tmp_path):
    assert train(run_of(tmp_path / "run", "one-hot", source="train_dataloader")) >= 0


def test_a_network_that_takes_other_images_takes_them(tmp_path):
    cfg = run_of(tmp_path / "run", "large")
    cfg.model = {"_target_": "tests.app.test_first_batch.pooled", "sites": "block", "dropout": 0.1}
    assert train(cfg) >= 0


class Short(Own):
    """Takes nothing of what its config tells the networks."""

    def __init__(self, form):
        super().__init__(form)


class Known(Own):
    """Takes a part of it."""

    def __init__(self, form, image_size):
        super().__init__(form)
        assert image_size == 8


@pytest.mark.parametrize("name", ["Short", "Known"])
def test_a_class_need_not_take_what_the_networks_read(tmp_path, name):
    cfg = composed(tmp_path / "run", *SMALL, "trainer.max_epochs=1")
    told = {"image_size": 8, "channels": 1, "num_classes": 10}
    own = {"_target_": f"tests.app.test_first_batch.{name}", "form": "right"}
    cfg.data = {**told, **own}
    assert train(cfg) >= 0
    cfg.data = {**told, **own, "batch": 4}
    cfg.paths.output_dir = str(tmp_path / "other")
    with pytest.raises(CommandError, match=r"unexpected keyword argument 'batch'"):
        train(cfg)


def pooled():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 10),
    )
