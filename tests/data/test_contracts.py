"""Every image data module keeps the contract; torchvision's loaders read what the tests write."""

import pytest

from bayesft.data import (
    CIFAR10DataModule,
    DigitsDataModule,
    FashionMNISTDataModule,
    FolderDataModule,
    GTSRBDataModule,
    MNISTDataModule,
)
from tests.helpers.archives import write_cifar10, write_gtsrb, write_images, write_mnist
from tests.helpers.data_contract import DataContract


class TestDigits(DataContract):
    sizes = (1347, 450)

    def make(self, **settings):
        return DigitsDataModule(**self.settings(**settings))


class TestMNIST(DataContract):
    sizes = (40, 12)

    @pytest.fixture(autouse=True)
    def _archive(self, tmp_path):
        self.folder = write_mnist(tmp_path)

    def make(self, **settings):
        return MNISTDataModule(data_dir=self.folder, **self.settings(**settings))


class TestFashionMNIST(DataContract):
    sizes = (40, 12)

    @pytest.fixture(autouse=True)
    def _archive(self, tmp_path):
        self.folder = write_mnist(tmp_path, name="FashionMNIST")

    def make(self, **settings):
        return FashionMNISTDataModule(data_dir=self.folder, **self.settings(**settings))


class TestCIFAR10(DataContract):
    sizes = (60, 20)
    colours = 3

    @pytest.fixture(autouse=True)
    def _archive(self, tmp_path, monkeypatch):
        write_cifar10(tmp_path, monkeypatch)
        self.folder = tmp_path

    def make(self, **settings):
        return CIFAR10DataModule(data_dir=self.folder, **self.settings(**settings))


class TestGTSRB(DataContract):
    sizes = (258, 20)
    colours = 3
    classes = 43

    @pytest.fixture(autouse=True)
    def _archive(self, tmp_path):
        self.folder = write_gtsrb(tmp_path)

    def make(self, **settings):
        return GTSRBDataModule(data_dir=self.folder, **self.settings(**settings))


class TestFolder(DataContract):
    """Class folders alone: validation and test images are split off."""

    sizes = (48, 12)
    colours = 3
    classes = 3
    in_memory = False

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path):
        self.folder = write_images(tmp_path)

    def make(self, **settings):
        return FolderDataModule(root=self.folder, **self.settings(**settings))


class TestFolderOfThree(TestFolder):
    """With train, val and test."""

    sizes = (60 + 15, 18)
    own_val = True

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path):
        for seed, (part, count) in enumerate((("train", 20), ("val", 5), ("test", 6))):
            write_images(tmp_path / part, count=count, seed=seed)
        self.folder = tmp_path
