"""Every data module of images with boxes keeps the contract."""

import pytest

from bayesft.data import DigitsDetectionDataModule, PennFudanDataModule
from tests.helpers.detection_contract import DetectionContract
from tests.helpers.pedestrians import write_penn_fudan


class TestDigits(DetectionContract):
    sizes = (40, 12)
    classes = 11

    def make(self, **settings):
        sizes = {"train_size": 30, "test_size": 12}
        return DigitsDetectionDataModule(**sizes, **self.settings(**settings))


class TestPennFudan(DetectionContract):
    sizes = (24, 6)
    colours = 3
    classes = 2

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path):
        write_penn_fudan(tmp_path)
        self.folder = tmp_path

    def make(self, **settings):
        return PennFudanDataModule(data_dir=self.folder, test_size=6, **self.settings(**settings))


class TestSmallPennFudan(TestPennFudan):
    """Made smaller when they are read."""

    def make(self, **settings):
        return super().make(image_size=32, **settings)
