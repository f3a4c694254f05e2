"""Data modules whose train, validation and test sets never overlap."""

from bayesft.data.base import ImageDataModule
from bayesft.data.cifar10 import CIFAR10DataModule
from bayesft.data.digits import DigitsDataModule
from bayesft.data.fashion_mnist import FashionMNISTDataModule
from bayesft.data.files import image_folders
from bayesft.data.folder import FolderDataModule
from bayesft.data.gtsrb import GTSRBDataModule
from bayesft.data.mnist import MNISTDataModule
from bayesft.data.sets import Labelled

__all__ = [
    "CIFAR10DataModule",
    "DigitsDataModule",
    "FashionMNISTDataModule",
    "FolderDataModule",
    "GTSRBDataModule",
    "ImageDataModule",
    "Labelled",
    "MNISTDataModule",
    "image_folders",
]
