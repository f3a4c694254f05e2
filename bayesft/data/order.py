"""The order of the training images, one for each epoch, and the seeds of their augmentation."""

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import DistributedSampler


class EpochSampler(DistributedSampler):
    """A random order that is a function of the seed and the epoch's number alone.

    A training that was cut and resumed sees in epoch e what it would have seen without
    the cut. Lightning says which epoch begins; on its own every iteration is the next one.

    Processes that train together take turns in the one order. It is a distributed sampler
    for a single process too, because Lightning replaces any other by its own.

    Args:
        data: what is put in order.
        seed: of the orders.
        seeded: whether to yield pairs of an index and a seed, which image i gets in epoch e
            whatever its place in the order, in place of indices.
        num_replicas: how many processes train together.
        rank: which of them this is.
    """

    def __init__(
        self,
        data: Sized,
        seed: int,
        *,
        seeded: bool = False,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(data, num_replicas=num_replicas, rank=rank, seed=seed)
        self.seeded = seeded

    def __iter__(self) -> Iterator[int | tuple[int, int]]:
        sequence = np.random.SeedSequence([self.seed, self.epoch])
        self.epoch += 1
        order_seed, image_seed = (int(s) >> 1 for s in sequence.generate_state(2, np.uint64))
        total = len(self.dataset)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(order_seed))
        # The first few are seen twice where the processes could not share evenly.
        order = order.repeat(-(-self.total_size // total))[: self.total_size]
        mine = order[self.rank :: self.num_replicas]
        if not self.seeded:
            yield from mine.tolist()
            return
        generator = torch.Generator().manual_seed(image_seed)
        seeds = torch.randint(2**63 - 1, (total,), generator=generator)
        yield from zip(mine.tolist(), seeds[mine].tolist(), strict=True)
