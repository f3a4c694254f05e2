"""Scikit-learn's handwritten digits: 1797 images of 8×8 pixels, no download."""

import torch
from torch import Tensor

from bayesft.data.base import ImageDataModule
from bayesft.data.split import split_indices

_TEST_SIZE = 450
_TEST_SEED = 1797


class DigitsDataModule(ImageDataModule):
    """The embedded default data set.

    The set has no test split of its own: a fixed quarter (450 images) is set
    aside, the same whatever `split_seed` is, so that no seed of a training or a
    search can move a test image into the training set.

    Args: see `ImageDataModule`.

    Source: the test part of "Optical Recognition of Handwritten Digits", UCI
    Machine Learning Repository, as `sklearn.datasets.load_digits` holds it.
    """

    def load_train(self) -> tuple[Tensor, Tensor]:
        images, labels = _load()
        train, _ = split_indices(len(labels), _TEST_SIZE, _TEST_SEED)
        return images[train], labels[train]

    def load_test(self) -> tuple[Tensor, Tensor]:
        images, labels = _load()
        _, test = split_indices(len(labels), _TEST_SIZE, _TEST_SEED)
        return images[test], labels[test]


def _load() -> tuple[Tensor, Tensor]:
    # Here, and not at the top: scikit-learn takes a second to import, and whoever
    # trains on another set does not need it.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return images, torch.tensor(labels, dtype=torch.int64)
