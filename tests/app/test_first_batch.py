"""A data module of one's own that gives something else than it should is told before training."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.methods import ERM
from tests.helpers.app import SMALL, composed

COUNT = 12
SOURCES = ("train_dataloader", "val_dataloader", "test_dataloader")


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
        form = self.form if self.source in (None, source) else "right"
        right = DataLoader(_items("right"), batch_size=4)
        loaders = {
            "nothing": None,
            "no loader": [],
            "empty": DataLoader(_items("right"), batch_size=COUNT + 1, drop_last=True),
            "two": [right, right],
            "endless": DataLoader(Endless(), batch_size=4),
            "sizes": DataLoader(_sizes(), batch_size=4),
            "sizes in a worker": DataLoader(_sizes(), batch_size=4, num_workers=1),
        }
        return loaders[form] if form in loaders else DataLoader(_items(form), batch_size=4)

    def train_dataloader(self):
        return self._loader("train_dataloader")

    def val_dataloader(self):
        return self._loader("val_dataloader")

    def test_dataloader(self):
        return self._loader("test_dataloader")


class Later(Own):
    """Its sets come with their stage."""

    def setup(self, stage):
        pass


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield from _items("right")


def _sizes():
    return [(torch.rand(1, 8 + k, 8), k) for k in range(COUNT)]


def _items(form):
    images, labels = torch.rand(COUNT, 1, 8, 8), torch.arange(COUNT).flip(0) % 10
    if form == "threes":
        return list(zip(images, labels, labels, strict=True))
    if form == "dicts":
        return [{"x": image, "y": label} for image, label in zip(images, labels, strict=True)]
    images = {
        "large": torch.rand(COUNT, 1, 9, 9),
        "float64": images.double(),
        "float16": images.half(),
        "pixels": (images * 255).byte(),
    }.get(form, images)
    labels = {
        "one-hot": torch.eye(10)[labels],
        "column": labels[:, None],
        "real": labels.float(),
        "from one": labels + 1,
        "last too large": torch.cat([labels[:-1], torch.tensor([12])]),
        "words": [str(int(label)) for label in labels],
        "int32": labels.int(),
        "uint8": labels.byte(),
    }.get(form, labels)
    return list(zip(images, labels, strict=True))


def run_of(folder, form, *overrides, source=None, name="Own"):
    cfg = composed(folder, *SMALL, "trainer.max_epochs=1", *overrides)
    cfg.data._target_ = f"tests.app.test_first_batch.{name}"
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
        ("float64", r"of torch.float32 from `train_dataloader`.*torch.float64, which.*float\(\)\."),
        ("float16", r"of torch.float32 from `train_dataloader`.*torch.float16, which"),
        ("pixels", r"of torch.float32 from `train_dataloader`.*torch.uint8, which.* / 255"),
        ("large", r"images of 1×8×8 from `train_dataloader`.*but got 1×9×9, which MLP cannot"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, form, words):
    with pytest.raises(CommandError, match=words):
        train(run_of(tmp_path / "run", form))


@pytest.mark.parametrize("source", SOURCES)
def test_every_loader_is_looked_at(tmp_path, source):
    with pytest.raises(CommandError, match=f"labels of `{source}` to be integers"):
        train(run_of(tmp_path / "run", "column", source=source))


@pytest.mark.parametrize("source", SOURCES)
def test_the_labels_of_every_batch_are_looked_at(tmp_path, source):
    with pytest.raises(CommandError, match=f"labels of `{source}` to be from 0 to 9.*to 12"):
        train(run_of(tmp_path / "run", "last too large", source=source))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("nothing", "to return a loader, such as.*but got None"),
        ("no loader", "to give batches, but it gives none"),
        ("empty", "to give batches, but it gives none.*drop_last"),
    ],
)
@pytest.mark.filterwarnings("ignore:Total length of")
@pytest.mark.parametrize("overrides", [[], ["scheduler=none", "trainer.num_sanity_val_steps=1"]])
@pytest.mark.parametrize("source", SOURCES)
def test_what_gives_no_batches_is_told_before_the_training(
    tmp_path, monkeypatch, source, form, words, overrides
):
    """Lightning leaves out what has none of it, or all, without a word."""
    monkeypatch.setattr(ERM, "training_step", _not_to_be_called)
    with pytest.raises(CommandError, match=f"`{source}`.*{words}"):
        train(run_of(tmp_path / "run", form, *overrides, source=source))


@pytest.mark.filterwarnings("ignore:Total length of")
@pytest.mark.parametrize("form", ["nothing", "no loader", "empty"])
def test_what_gives_no_test_is_told_if_it_comes_late(tmp_path, form):
    with pytest.raises(CommandError, match=r"`test_dataloader`.* but (got None|it gives none)"):
        train(run_of(tmp_path / "run", form, source="test_dataloader", name="Later"))


@pytest.mark.parametrize("looks_first", [0, 1])
@pytest.mark.parametrize("name", ["Own", "Later"])
@pytest.mark.parametrize("source", SOURCES[1:])
def test_several_loaders_are_refused(tmp_path, monkeypatch, source, name, looks_first):
    if (name, source) != ("Later", "test_dataloader"):
        monkeypatch.setattr(ERM, "training_step", _not_to_be_called)
    first = f"trainer.num_sanity_val_steps={looks_first}"
    with pytest.raises(CommandError, match=f"`{source}` to return one loader, but got several"):
        train(run_of(tmp_path / "run", "two", first, source=source, name=name))


def _not_to_be_called(*args):
    raise AssertionError


def test_a_training_set_without_a_length(tmp_path):
    source = "train_dataloader"
    words = r"`train_dataloader` does not tell.*max_steps or trainer.limit_train_batches.*none"
    with pytest.raises(CommandError, match=words):
        train(run_of(tmp_path / "a", "endless", source=source))
    limit = "+trainer.limit_train_batches=3"
    assert train(run_of(tmp_path / "b", "endless", limit, source=source)) >= 0


@pytest.mark.parametrize("form", ["sizes", "sizes in a worker"])
def test_images_of_several_sizes_are_told(tmp_path, form):
    words = r"to have one size, but got \[1, 8, 8\] at entry 0 and \[1, 9, 8\].*Resize"
    with pytest.raises(CommandError, match=words):
        train(run_of(tmp_path / "run", form, source="train_dataloader"))


def test_a_network_that_takes_other_numbers_takes_them(tmp_path):
    cfg = run_of(tmp_path / "run", "pixels")
    cfg.model = {"_target_": "tests.app.test_first_batch.scaled", "sites": "own"}
    assert train(cfg) >= 0


def scaled():
    return torch.nn.Sequential(Scale(), torch.nn.Flatten(), torch.nn.Linear(64, 10))


class Scale(torch.nn.Module):
    def forward(self, images):
        return images.float() / 255


def test_a_network_in_double_precision_is_told(tmp_path):
    cfg = run_of(tmp_path / "run", "right")
    cfg.model = {"_target_": "tests.app.test_first_batch.double", "sites": "own"}
    with pytest.raises(CommandError, match=r"images of torch.float64 from.*network .float\(\)"):
        train(cfg)
    # Lightning then brings the images to it.
    cfg.trainer.precision = "64-true"
    cfg.paths.output_dir = str(tmp_path / "other")
    assert train(cfg) >= 0


def double():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).double()


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
