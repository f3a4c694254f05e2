"""Sets whose augmentation follows from a seed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import Dataset


class SeededSet(Dataset, ABC):
    """A set whose elements may be read with a seed: derive and give `read`.

    An index may come with a seed, as a pair; `EpochSampler` yields such. Then the augmentation
    is a function of the element and the seed, whatever process reads it, and the global random
    state is left as found; a plain index is augmented from the global random state. This holds
    for transforms that draw from PyTorch's generator for the CPU, as torchvision's do.
    """

    @abstractmethod
    def read(self, index: int) -> Any:
        """Return the element at `index`, augmented from the global random state."""

    def __getitem__(self, index: int | tuple[int, int]) -> Any:
        [element] = self.__getitems__([index])
        return element

    def __getitems__(self, indices: Iterable[int | tuple[int, int]]) -> list[Any]:
        elements = []
        seeded = any(isinstance(each, tuple) for each in indices)
        # Forked once for a batch; the devices' generators play no part.
        with torch.random.fork_rng(devices=[], enabled=seeded):
            for each in indices:
                index = each
                if isinstance(each, tuple):
                    index, seed = each
                    torch.default_generator.manual_seed(seed)
                elements.append(self.read(index))
        return elements
