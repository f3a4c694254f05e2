"""Data modules whose train, validation and test sets never overlap."""

from bayesft.data.base import ImageDataModule
from bayesft.data.boxed import Boxed, as_lists
from bayesft.data.cifar10 import CIFAR10DataModule
from bayesft.data.detection import DetectionDataModule
from bayesft.data.digits import DigitsDataModule
from bayesft.data.digits_detection import DigitsDetectionDataModule
from bayesft.data.fashion_mnist import FashionMNISTDataModule
from bayesft.data.files import image_folders
from bayesft.data.folder import FolderDataModule
from bayesft.data.gtsrb import GTSRBDataModule
from bayesft.data.mnist import MNISTDataModule
from bayesft.data.penn_fudan import PennFudanDataModule
from bayesft.data.sets import Labelled

__all__ = [
    "Boxed",
    "CIFAR10DataModule",
    "DetectionDataModule",
    "DigitsDataModule",
    "DigitsDetectionDataModule",
    "FashionMNISTDataModule",
    "FolderDataModule",
    "GTSRBDataModule",
    "ImageDataModule",
    "Labelled",
    "MNISTDataModule",
    "PennFudanDataModule",
    "as_lists",
    "image_folders",
]
