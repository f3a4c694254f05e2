"""Fashion-MNIST, from torchvision."""

from typing import ClassVar

from torchvision.datasets import MNIST, FashionMNIST

from bayesft.data.mnist import MNISTDataModule


class FashionMNISTDataModule(MNISTDataModule):
    """Fashion-MNIST: articles of clothing in the format of MNIST, 10 classes.

    Args: see `PublishedDataModule`.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms", arXiv 1708.07747.
    """

    title = "Fashion-MNIST"
    layout = "FashionMNIST/raw with the four idx files"
    reader: ClassVar[type[MNIST]] = FashionMNIST
