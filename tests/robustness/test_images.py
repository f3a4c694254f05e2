"""Which images an evaluation takes from a loader, in whatever form they come."""

from collections import UserDict, namedtuple

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.robustness import evaluate
from bayesft.robustness import images as images_module
from bayesft.robustness.images import ImagePool

NUMBERS = TensorDataset(torch.arange(20.0)[:, None])


def seen(batches) -> set[int]:
    pool = ImagePool(batches)
    [batch] = pool.batches([torch.arange(pool.total)])
    return set(batch[0].flatten().int().tolist())


def test_a_sampler_of_a_part_chooses_that_part():
    """The usual way to split: the other images are another split's."""
    loader = DataLoader(NUMBERS, sampler=SubsetRandomSampler([3, 7, 5]))
    assert seen(loader) == {3, 5, 7}
    assert seen(DataLoader(Subset(NUMBERS, [1, 2]))) == {1, 2}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": True},
        {"sampler": SequentialSampler(NUMBERS)},
        {"sampler": DistributedSampler(NUMBERS, num_replicas=2, rank=1)},
    ],
)
def test_samplers_of_the_whole_choose_the_whole(settings):
    assert seen(DataLoader(NUMBERS, batch_size=6, **settings)) == set(range(20))


class Mine(BatchSampler):
    pass


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": WeightedRandomSampler(torch.ones(20), 20)},
        {"sampler": [1, 2, 3]},
        {"sampler": SequentialSampler(range(5))},
        {"batch_sampler": Mine(SequentialSampler(NUMBERS), 4, False)},
    ],
)
def test_a_sampler_that_does_not_tell_is_refused(settings):
    with pytest.raises(SettingError, match=r"does not tell which images.*Subset"):
        ImagePool(DataLoader(NUMBERS, **settings))


Pair = namedtuple("Pair", ["x", "name"])


def test_batches_of_every_form_come_apart_and_together_again():
    batches = [
        {"pair": Pair(torch.arange(3.0), ["a", "b", "c"]), "two": [torch.ones(3), torch.zeros(3)]},
        {"pair": Pair(torch.arange(3.0, 5.0), ["d", "e"]), "two": [torch.ones(2), torch.zeros(2)]},
    ]
    [batch] = ImagePool(batches).batches([torch.tensor([4, 0, 3])])
    assert isinstance(batch["pair"], Pair)
    assert batch["pair"].x.tolist() == [4.0, 0.0, 3.0]
    assert list(batch["pair"].name) == ["e", "a", "d"]
    assert torch.stack(batch["two"]).tolist() == [[1.0] * 3, [0.0] * 3]


class Opened(Dataset):
    """Gives what its worker opened."""

    offset = 0.0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.tensor([index + self.offset])


def set_offset(worker: int) -> None:
    torch.utils.data.get_worker_info().dataset.offset = 100.0


def test_workers_start_as_the_loader_says():
    loader = DataLoader(Opened(), num_workers=1, worker_init_fn=set_offset)
    [batch] = ImagePool(loader).batches([torch.tensor([2, 3])])
    assert batch.flatten().tolist() == [102.0, 103.0]


class Stream(IterableDataset):
    def __iter__(self):
        yield from (torch.rand(3) for _ in range(8))


def test_the_global_random_state_is_left_as_found(monkeypatch):
    """By a loader over a stream, which draws from it, too; and no GPU's is seeded."""
    monkeypatch.setattr(torch, "manual_seed", None)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", None)
    state = torch.get_rng_state()
    model = torch.nn.Linear(3, 2)
    state = torch.get_rng_state()

    def score(model, batch):
        return model(batch)[:, 0] + torch.rand(())

    curves = [
        evaluate(model, DataLoader(Stream(), batch_size=4), LogNormalDrift(), [0.1], 3, score=score)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert curves[0].scores == curves[1].scores


def test_a_gpu_takes_no_more_than_it_has_room_for_at_once():
    """As many batches as 64 MiB hold; `meta` stands for any device but the CPU."""
    images = torch.empty(500, 3, 224, 224, device="meta")
    pool = ImagePool(TensorDataset(images))
    sizes = [2, *[40] * 6]
    found = list(pool.batches([torch.arange(size) for size in sizes]))
    assert [len(batch[0]) for batch in found] == sizes
    assert max(batch[0].untyped_storage().nbytes() for batch in found) <= 1 << 26


def test_for_a_network_on_the_cpu_nothing_is_pinned(monkeypatch):
    """Though the loader would, for a training on a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(images_module, "pin_memory", None)
    for numbers in (NUMBERS, Subset(NUMBERS, range(20))):
        pool = ImagePool(DataLoader(numbers, pin_memory=True), device=torch.device("cpu"))
        [batch] = pool.batches([torch.arange(3)])
        assert batch[0].flatten().tolist() == [0.0, 1.0, 2.0]


class Fields(UserDict):
    pass


def test_pinning_keeps_what_a_batch_is(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, device=None: tensor + 1)
    loader = DataLoader(Subset(NUMBERS, range(20)), pin_memory=True, collate_fn=lambda rows: Fields(
        x=torch.stack([row[0] for row in rows])
    ))  # fmt: skip
    pool = ImagePool(loader, device=torch.device("cuda"))
    [batch] = pool.batches([torch.arange(2)])
    assert type(batch) is Fields
    assert batch["x"].flatten().tolist() == [1.0, 2.0]
