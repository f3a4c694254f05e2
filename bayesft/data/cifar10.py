"""CIFAR-10, from torchvision."""

import torch
from torchvision.datasets import CIFAR10

from bayesft.data.published import PublishedDataModule
from bayesft.data.sets import Labelled


class CIFAR10DataModule(PublishedDataModule):
    """CIFAR-10: 50,000 colour images of 32×32 pixels to train and validate on, 10,000 to test.

    Args: see `PublishedDataModule`.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    title = "CIFAR-10"
    layout = (
        "cifar-10-batches-py with data_batch_1 to data_batch_5, test_batch and batches.meta, "
        "or a whole cifar-10-python.tar.gz"
    )

    def prepare_data(self) -> None:
        self.fetch(lambda download: self._read(train=True, download=download))

    def load_train(self) -> Labelled:
        return self._read(train=True)

    def load_test(self) -> Labelled:
        return self._read(train=False)

    def _read(self, *, train: bool, download: bool = False) -> Labelled:
        found = self.usable(CIFAR10, str(self.data_dir), train=train, download=download)
        # torchvision holds height × width × channels.
        images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
        return Labelled(images, torch.tensor(found.targets, dtype=torch.int64))
