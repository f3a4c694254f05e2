"""What torchvision's loaders read, and what they say to files that are cut short or missing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torchvision.datasets import CIFAR10

from bayesft.data import CIFAR10DataModule, FashionMNISTDataModule, GTSRBDataModule
from bayesft.errors import DataError, SettingError
from tests.helpers.archives import write_cifar10, write_gtsrb, write_mnist


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refused)


def cifar10(folder, **settings):
    defaults = {"image_size": 32, "channels": 3, "val_size": 10}
    return CIFAR10DataModule(data_dir=folder, **defaults | settings)


def gtsrb(folder, **settings):
    return GTSRBDataModule(data_dir=folder, **{"image_size": 16, "val_size": 40} | settings)


def fashion(folder):
    return FashionMNISTDataModule(data_dir=folder, image_size=28, val_size=10)


def cut(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


@pytest.mark.parametrize("archive", [False, True])
def test_cifar10_from_its_batches_or_its_archive(tmp_path, monkeypatch, archive):
    images = write_cifar10(tmp_path, monkeypatch, archive=archive)
    data = cifar10(tmp_path)
    data.prepare_data()
    data.setup()
    test, labels = data.test_set.tensors
    assert torch.equal((test * 255).round().byte(), torch.from_numpy(images["test"]))
    assert labels.tolist() == [i % 10 for i in range(20)]
    known = {image.tobytes(): i % 10 for i, image in enumerate(images["train"])}
    for image, label in data.train_set:
        assert known[(image * 255).round().byte().numpy().tobytes()] == label


def test_one_process_at_a_time_downloads(tmp_path):
    """And the others find what it has left."""
    data, order = fashion(tmp_path), []

    def read(name):
        def once(download):
            if download:
                order.append(f"{name} begins")
                time.sleep(0.2)
                order.append(f"{name} ends")
            else:
                raise DataError("it is not there, or half of it")

        return once

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: fashion(tmp_path).fetch(read(name)), "ab"))
    assert sorted(order) == ["a begins", "a ends", "b begins", "b ends"]
    assert [line.split()[1] for line in order] == ["begins", "ends"] * 2
    seen = []
    data.fetch(seen.append)
    assert seen == [False]


def test_cifar10_of_an_archive_cut_short(tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch, archive=True)
    path = tmp_path / CIFAR10.filename
    cut(path)
    message = r"CIFAR-10 is not usable in .*cifar-10-batches-py.*paths.data_dir=.*data=digits"
    # torchvision sees it by the sum, and would download it again.
    with pytest.raises(DataError, match=message):
        cifar10(tmp_path).prepare_data()
    # As if the sum were right: the archive itself ends too early.
    monkeypatch.setattr(CIFAR10, "tgz_md5", None)
    with pytest.raises(DataError, match=r"CIFAR-10 is not usable.*(EOFError|ReadError)"):
        cifar10(tmp_path).prepare_data()


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("checked", [True, False])
def test_cifar10_of_a_batch_cut_short(tmp_path, monkeypatch, name, checked):
    write_cifar10(tmp_path, monkeypatch)
    cut(tmp_path / "cifar-10-batches-py" / name)
    if not checked:
        for part in ("train_list", "test_list"):
            monkeypatch.setattr(CIFAR10, part, [[file, None] for file, _ in getattr(CIFAR10, part)])
        monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": None})
    with pytest.raises(DataError, match="CIFAR-10 is not usable"):
        cifar10(tmp_path).setup()


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5])
@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_fashion_mnist_cut_short(tmp_path, keep, file):
    write_mnist(tmp_path, name="FashionMNIST")
    cut(tmp_path / "FashionMNIST" / "raw" / file, keep)
    with pytest.raises(DataError, match=r"Fashion-MNIST is not usable.*FashionMNIST/raw"):
        fashion(tmp_path).setup("fit")


def test_mnist_is_not_taken_for_fashion_mnist(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(DataError, match="Fashion-MNIST is not usable"):
        fashion(tmp_path).prepare_data()


@pytest.mark.parametrize("size", [16, 600])
def test_gtsrb_keeps_its_tracks_whole(tmp_path, monkeypatch, size):
    """By content, as they are in memory and as they are read when they are too large for it."""
    write_gtsrb(tmp_path)
    monkeypatch.setattr("bayesft.data.gtsrb.READY_BYTES", 10**6)
    data = gtsrb(tmp_path, image_size=size, val_size=40)
    found = data.load_train()
    assert torch.is_tensor(found.images) == (size == 16)
    assert found.labels.bincount().tolist() == [6] * 43
    assert found.groups.bincount().tolist() == [3] * 86
    assert all(len(found.labels[found.groups == group].unique()) == 1 for group in range(86))
    if size != 16:
        return
    data.setup("fit")
    groups = {
        image.numpy().tobytes(): int(group)
        for image, group in zip(data.form(found.images), found.groups, strict=True)
    }
    train, val = (
        {groups[image.numpy().tobytes()] for image in part.tensors[0]}
        for part in (data.train_set, data.val_set)
    )
    assert not train & val
    assert len(train | val) == 86
    assert len(data.val_set) == 42  # whole tracks of three


def test_gtsrb_test_labels_are_the_tables(tmp_path):
    data = gtsrb(write_gtsrb(tmp_path))
    data.setup("test")
    assert data.test_set.tensors[1].tolist() == [2 * i for i in range(20)]


def test_gtsrb_incomplete(tmp_path):
    training = write_gtsrb(tmp_path) / "gtsrb" / "GTSRB" / "Training"
    csv = tmp_path / "gtsrb" / "GT-final_test.csv"
    content = csv.read_text()
    csv.unlink()
    with pytest.raises(DataError, match=r"GTSRB is not usable.*GT-final_test.csv"):
        gtsrb(tmp_path).prepare_data()
    csv.write_text(content.replace("ClassId", "Class"))
    with pytest.raises(DataError, match=r"GTSRB is not usable.*KeyError.*ClassId"):
        gtsrb(tmp_path).prepare_data()
    csv.write_text(content)
    gtsrb(tmp_path).prepare_data()
    first = training / "00007" / "00000_00000.ppm"
    cut(first)
    with pytest.raises(DataError, match=r"00007/00000_00000.ppm cannot be read as an image"):
        gtsrb(tmp_path).setup("fit")
    for each in (training / "00007").iterdir():
        each.unlink()
    with pytest.raises(DataError, match=r"GTSRB is not usable.*00007"):
        gtsrb(tmp_path).prepare_data()
    (training / "00007").rmdir()
    with pytest.raises(DataError, match="in 42 class folders, not in the 43 from 00000 to 00042"):
        gtsrb(tmp_path).prepare_data()


@pytest.mark.parametrize("make", [cifar10, gtsrb, fashion])
def test_no_data_and_no_network(tmp_path, make):
    with pytest.raises(DataError, match=r"not usable in .*paths.data_dir=.*data=digits"):
        make(tmp_path / "nothing").prepare_data()


def test_groups_that_leave_nothing(tmp_path):
    with pytest.raises(SettingError, match=r"`data.val_size` to be smaller than the 258.*got 257"):
        gtsrb(write_gtsrb(tmp_path), val_size=257).setup("fit")
