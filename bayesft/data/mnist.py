"""MNIST, from torchvision."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.datasets import MNIST

from bayesft.data.base import ImageDataModule
from bayesft.errors import DataError


class MNISTDataModule(ImageDataModule):
    """MNIST: 60,000 images of 28×28 pixels to train and validate on, 10,000 to test.

    Args:
        data_dir: the folder that holds, or will hold, torchvision's `MNIST/raw`.
            What is there is used as it is, and may be read-only; what is missing
            is downloaded.
        settings: see `ImageDataModule`.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """

    def __init__(self, *, data_dir: str | Path, **settings: Any) -> None:
        super().__init__(**settings)
        self.data_dir = Path(data_dir)

    def prepare_data(self) -> None:
        self._read(train=True, download=True)

    def load_train(self) -> tuple[Tensor, Tensor]:
        return _as_tensors(self._read(train=True, download=False))

    def load_test(self) -> tuple[Tensor, Tensor]:
        return _as_tensors(self._read(train=False, download=False))

    def _read(self, *, train: bool, download: bool) -> MNIST:
        try:
            return MNIST(str(self.data_dir), train=train, download=download)
        except (RuntimeError, OSError, ValueError, AssertionError) as error:
            raise DataError(
                f"MNIST is not usable in {self.data_dir} ({_first_line(error)}). Expected "
                f"{self.data_dir / 'MNIST' / 'raw'} with the four idx files, or a network to "
                "download them. Set paths.data_dir=<folder>, or the variable BAYESFT_DATA_DIR, "
                "to a folder that holds MNIST/raw; or use data=digits, which needs no download."
            ) from error


def _as_tensors(images: MNIST) -> tuple[Tensor, Tensor]:
    return images.data.unsqueeze(1).float() / 255, images.targets.long()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
