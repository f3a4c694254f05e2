"""MNIST, from torchvision."""

from typing import ClassVar

from torchvision.datasets import MNIST

from bayesft.data.published import PublishedDataModule
from bayesft.data.sets import Labelled


class MNISTDataModule(PublishedDataModule):
    """MNIST: 60,000 grey images of 28×28 pixels to train and validate on, 10,000 to test.

    Args: see `PublishedDataModule`.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """

    title = "MNIST"
    layout = "MNIST/raw with the four idx files"
    reader: ClassVar[type[MNIST]] = MNIST

    def prepare_data(self) -> None:
        self.fetch(lambda download: self._read(train=True, download=download))

    def load_train(self) -> Labelled:
        return self._read(train=True)

    def load_test(self) -> Labelled:
        return self._read(train=False)

    def _read(self, *, train: bool, download: bool = False) -> Labelled:
        found = self.usable(self.reader, str(self.data_dir), train=train, download=download)
        return Labelled(found.data.unsqueeze(1), found.targets.long())
