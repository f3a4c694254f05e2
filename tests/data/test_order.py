"""The order of training images: a function of the seed and the epoch."""

import pytorch_lightning as pl

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
