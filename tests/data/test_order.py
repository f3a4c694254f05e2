"""The order of training images: a function of the seed and the epoch."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DistributedSampler

from bayesft.data.order import EpochSampler
from tests.helpers.trainings import digits, erm, trainer


def orders(sampler, epochs):
    found = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        found.append(list(sampler))
    return found


def test_an_epochs_order_does_not_depend_on_the_epochs_before():
    data = range(50)
    first = orders(EpochSampler(data, 3), range(4))
    assert len({tuple(order) for order in first}) == 4
    assert all(sorted(order) == list(data) for order in first)
    assert orders(EpochSampler(data, 3), [2, 3]) == first[2:]
    assert orders(EpochSampler(data, 4), [2]) != first[2:3]
    # On its own each iteration is the next epoch's.
    alone = EpochSampler(data, 3)
    assert [list(alone) for _ in range(4)] == first


class Seen(pl.Callback):
    """Keeps the labels of each epoch's first batch."""

    def __init__(self):
        self.labels = {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == 0:
            self.labels[trainer.current_epoch] = batch[1].tolist()


def test_a_resumed_training_sees_the_batches_it_would_have_seen(tmp_path):
    whole, before, after = Seen(), Seen(), Seen()
    trainer(tmp_path, whole, max_epochs=4).fit(erm(), digits())
    first = trainer(tmp_path, before, max_epochs=2)
    first.fit(erm(), digits())
    first.save_checkpoint(tmp_path / "two.ckpt")
    second = trainer(tmp_path, after, max_epochs=4)
    second.fit(erm(), digits(), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    assert list(after.labels) == [2, 3]
    assert before.labels | after.labels == whole.labels


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_train_together_share_one_epoch(processes):
    data = range(50)
    shares = [
        EpochSampler(data, 3, seeded=True, num_replicas=processes, rank=rank)
        for rank in range(processes)
    ]
    [whole] = orders(EpochSampler(data, 3, seeded=True), [5])
    parts = [orders(share, [5])[0] for share in shares]
    assert {len(part) for part in parts} == {len(shares[0])} == {-(-50 // processes)}
    assert [pair for turn in zip(*parts, strict=True) for pair in turn][:50] == whole


def test_lightning_says_how_many_processes_train_together():
    """And leaves the sampler as it is: it replaces every other kind by its own."""
    data = digits(augment=[torch.clone])
    data.setup("fit")
    data.trainer = SimpleNamespace(
        distributed_sampler_kwargs={"num_replicas": 2, "rank": 1}, current_epoch=4
    )
    sampler = data.train_dataloader().sampler
    assert (sampler.num_replicas, sampler.rank, sampler.epoch) == (2, 1, 4)
    assert isinstance(sampler, DistributedSampler)


def test_an_images_seed_does_not_depend_on_its_place_in_the_order():
    def seeds(epoch, **settings):
        [pairs] = orders(EpochSampler(range(50), seeded=True, **settings), [epoch])
        return dict(pairs)

    first = seeds(4, seed=3)
    assert len(set(first.values())) == 50
    assert not set(first.values()) & set(seeds(5, seed=3).values())
    assert not set(first.values()) & set(seeds(4, seed=2).values())
    [plain] = orders(EpochSampler(range(50), 3), [4])
    assert list(first) == plain


def test_a_resumed_training_augments_as_it_would_have(tmp_path):
    """The weights are the same to the bit, with workers and without."""

    def weights(*, cut: bool, workers: int):
        folder = tmp_path / f"{cut} {workers}"
        data = digits(augment=[noisy], num_workers=workers)
        module = erm(dropout=0.0)
        if cut:
            first = trainer(folder, max_epochs=1)
            torch.manual_seed(8)
            first.fit(module, data)
            first.save_checkpoint(folder / "one.ckpt")
            module, data = erm(dropout=0.0), digits(augment=[noisy], num_workers=workers)
            path = folder / "one.ckpt"
            trainer(folder, max_epochs=3).fit(module, data, ckpt_path=path, weights_only=True)
        else:
            trainer(folder, max_epochs=3).fit(module, data)
        return torch.cat([each.flatten() for each in module.parameters()])

    whole = weights(cut=False, workers=0)
    assert torch.equal(weights(cut=True, workers=0), whole)
    assert torch.equal(weights(cut=True, workers=1), whole)


def noisy(image):
    return (image + 0.1 * torch.rand(image.shape)).clamp(0, 1)
