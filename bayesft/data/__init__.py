"""Data modules whose train, validation and test sets never overlap."""

from bayesft.data.base import ImageDataModule
from bayesft.data.digits import DigitsDataModule
from bayesft.data.mnist import MNISTDataModule

__all__ = ["DigitsDataModule", "ImageDataModule", "MNISTDataModule"]
