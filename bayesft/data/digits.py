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
        return digits(test=False)

    def load_test(self) -> tuple[Tensor, Tensor]:
        return digits(test=True)


def digits(*, test: bool) -> tuple[Tensor, Tensor]:
    """Return the digits to test on, or all others.

    Returns:
        Pixels in [0, 1], shape `(n, 1, 8, 8)`, and labels 0 to 9, int64, shape `(n,)`.
    """
    # Here, and not at the top: scikit-learn takes a second to import, and whoever
    # trains on another set does not need it.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    places = split_indices(len(labels), _TEST_SIZE, _TEST_SEED)[int(test)]
    return images[places], torch.tensor(labels, dtype=torch.int64)[places]
