"""Every data set trains from its config, and any network meets any of them."""

from itertools import islice

import pytest
import torch
from hydra.errors import HydraException
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from bayesft.app import train
from bayesft.app.build import build_data
from bayesft.app.network import build_network
from tests.helpers.app import SMALL, composed, search
from tests.helpers.archives import write_cifar10, write_gtsrb, write_images, write_mnist
from tests.helpers.pedestrians import write_penn_fudan

SETS = ("mnist", "fashion_mnist", "cifar10", "gtsrb", "folder")


def written(folder, monkeypatch, name) -> list[str]:
    """Write the data set to `folder`, where its config looks; return what chooses it."""
    if name == "cifar10":
        write_cifar10(folder, monkeypatch)
    elif name == "gtsrb":
        write_gtsrb(folder)
    elif name == "folder":
        write_images(folder / "images")
        return ["data=folder", f"data.root='{folder / 'images'}'"]
    else:
        write_mnist(folder, name="MNIST" if name == "mnist" else "FashionMNIST")
    return [f"data={name}", "data.val_size=10"]


@pytest.mark.parametrize("name", SETS)
def test_every_data_set_trains(tmp_path, monkeypatch, name):
    chosen = written(tmp_path, monkeypatch, name)
    cfg = composed(tmp_path, *SMALL, *chosen, "trainer.max_epochs=1")
    assert train(cfg) >= 0
    assert (tmp_path / "test_curve.json").exists()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("size", "channels"), [(12, 1), (20, 3)])
def test_any_network_meets_any_data(tmp_path, monkeypatch, name, size, channels):
    chosen = written(tmp_path, monkeypatch, name)
    settings = [f"data.image_size={size}", f"data.channels={channels}", "model=lenet5"]
    cfg = composed(tmp_path, *chosen, *settings)
    data = build_data(cfg)
    data.prepare_data()
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader()):
        images, labels = next(iter(loader))
        assert images.shape[1:] == (channels, size, size)
        loss = nn.functional.cross_entropy(build_network(cfg)(images), labels)
        assert torch.isfinite(loss)


def test_classes_are_counted_in_the_folder(tmp_path):
    write_images(tmp_path / "images", classes=tuple("abcde"), count=3)
    cfg = composed(tmp_path, "data=folder", f"data.root='{tmp_path / 'images'}'")
    assert cfg.model.num_classes == 5
    assert build_network(cfg)(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize("augment", ["[]", "null"])
def test_augmentation_can_be_switched_off(tmp_path, monkeypatch, augment):
    chosen = written(tmp_path, monkeypatch, "cifar10")
    assert len(build_data(composed(tmp_path, *chosen)).augment) == 2
    assert build_data(composed(tmp_path, *chosen, f"data.augment={augment}")).augment == ()


def test_signs_are_never_flipped(tmp_path, monkeypatch):
    """A triangle that points to the right does so augmented: it is skewed to the right."""
    data = build_data(composed(tmp_path, *written(tmp_path, monkeypatch, "gtsrb")))
    columns, rows = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="xy")
    triangle = (columns >= 8) & (columns - 8 + 2 * (rows - 16).abs() < 16)
    torch.manual_seed(0)
    seen = set()
    for _ in range(50):
        image = triangle.expand(3, 32, 32).to(torch.uint8) * 255
        for transform in data.augment:
            image = transform(image)
        mass = image[0].double().sum(0)
        away = torch.arange(32) - (mass * torch.arange(32)).sum() / mass.sum()
        assert (mass * away**3).sum() > 0
        seen.add(image.numpy().tobytes())
    assert len(seen) == 50


@pytest.mark.parametrize("name", ["digits_detection", "penn_fudan"])
def test_torchvisions_detectors_take_what_has_boxes(tmp_path, name):
    """Augmented, with all losses; the labels are below the number of classes that a head has."""
    write_penn_fudan(tmp_path)
    sizes = ["data.test_size=6", "data.val_size=5", "data.num_workers=0"]
    sizes += ["data.train_size=40"] if name == "digits_detection" else []
    cfg = composed(tmp_path, f"data={name}", *sizes, "data.channels=3")
    data = build_data(cfg)
    assert data.augment
    data.prepare_data()
    data.setup("fit")
    backbone = nn.Conv2d(3, 8, 8, stride=8)
    backbone.out_channels = 8
    anchors = AnchorGenerator(((8, 16, 32),), ((0.5, 1.0, 2.0),))
    detector = FasterRCNN(
        backbone,
        data.num_classes,
        min_size=64,
        max_size=128,
        rpn_anchor_generator=anchors,
        box_detections_per_img=5,
    )
    for losses in (detector(*batch) for batch in islice(data.train_dataloader(), 2)):
        assert len(losses) == 4
        assert all(torch.isfinite(loss) for loss in losses.values())
    detector.eval()
    images, _ = next(iter(data.val_dataloader()))
    assert len(detector(images)) == len(images)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def refused(tmp_path, chosen, message):
    with pytest.raises(HydraException, match=message) as caught:
        train(composed(tmp_path / "run", f"paths.data_dir='{tmp_path}'", *SMALL, *chosen))
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_image_is_told_in_one_message(tmp_path, monkeypatch):
    """Which a worker process met."""
    chosen = written(tmp_path, monkeypatch, "folder")
    for path in (tmp_path / "images" / "owl").iterdir():
        cut(path)
    refused(tmp_path, chosen, r"^/.*owl/\d+.png cannot be read as an image")


def test_an_empty_class_folder_is_told_before_the_training(tmp_path, monkeypatch):
    chosen = written(tmp_path, monkeypatch, "folder")
    for path in (tmp_path / "images" / "owl").iterdir():
        path.unlink()
    refused(tmp_path, chosen, "^The class folder .*owl has no images")
    with pytest.raises(HydraException, match="owl has no images"):
        search(tmp_path / "s", *SMALL, *chosen)
    assert not (tmp_path / "s" / "0").exists()


def test_a_truncated_archive_is_told(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    write_cifar10(tmp_path, monkeypatch, archive=True)
    cut(tmp_path / "cifar-10-python.tar.gz")
    refused(tmp_path, ["data=cifar10"], "^CIFAR-10 is not usable in .*data=digits")
