"""The order of the training images, one for each epoch."""

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import RandomSampler


class EpochSampler(RandomSampler):
    """A random order that is a function of the seed and the epoch's number alone.

    A training that was cut and resumed sees in epoch e what it would have seen without
    the cut. Lightning says which epoch begins; on its own every iteration is the next one.

    Args:
        data: what is put in order.
        seed: of the orders.
    """

    def __init__(self, data: Sized, seed: int) -> None:
        super().__init__(data)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be that of `epoch`, from 0 on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        [seed] = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        self.epoch += 1
        generator = torch.Generator().manual_seed(int(seed) >> 1)
        yield from torch.randperm(len(self.data_source), generator=generator).tolist()
