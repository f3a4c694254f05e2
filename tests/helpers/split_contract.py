"""What every data module must do, whatever belongs to an image."""

import pytest
import torch
from torch import Tensor

from bayesft.data.module import SplitDataModule
from bayesft.robustness.images import ImagePool


def ready(data: SplitDataModule, stage: str | None = None) -> SplitDataModule:
    data.prepare_data()
    data.setup(stage)
    return data


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of a machine with one core
class SplitContract:
    """Derive, and give `sizes`, `dimmed`, `make` and `elements`.

    Attributes:
        sizes: how many images there are to train and validate on, and to test.
        own_val: whether `split_seed` plays no part in the validation images.
        dimmed: a random transform for `augment`: no two draws are alike.
    """

    sizes: tuple[int, int]
    own_val = False
    dimmed = None

    def make(self, **settings) -> SplitDataModule:
        raise AssertionError("return the data module")

    def elements(self, batch) -> list[tuple[Tensor, ...]]:
        raise AssertionError("return for each image of the batch itself, and what belongs to it")

    def read(self, loader, epoch=None) -> list[tuple[bytes, ...]]:
        """All elements of a loader, of an epoch if it matters which."""
        if epoch is not None:
            loader.sampler.set_epoch(epoch)
        return [as_bytes(each) for batch in loader for each in self.elements(batch)]

    def contents(self, loader) -> list[bytes]:
        return [image for image, *_ in self.read(loader)]

    def test_the_three_sets_are_disjoint_and_whole(self):
        data = ready(self.make())
        train, val, test = map(
            self.contents, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        )
        assert (len(train) + len(val), len(test)) == self.sizes
        assert len(val) >= 10
        assert len({*train, *val, *test}) == sum(self.sizes)

    def test_the_split_follows_its_seed_alone(self):
        def sets(**settings):
            data = ready(self.make(**settings))
            return self.read(data.val_dataloader()), self.read(data.test_dataloader())

        first = sets()
        torch.manual_seed(5)
        assert sets(shuffle_seed=9, augment=[self.dimmed]) == first
        other = sets(split_seed=1)
        assert (other[0] == first[0]) == self.own_val
        assert other[1] == first[1]

    def test_fitting_never_reads_the_test_set(self, monkeypatch):
        data = self.make()

        def refused(self):
            raise AssertionError("the test set was read")

        monkeypatch.setattr(type(data), "load_test", refused)
        data.prepare_data()
        data.setup("fit")
        data.setup("validate")
        assert data.test_set is None

    def test_an_epoch_is_a_function_of_its_number_and_the_seed_alone(self):
        def epochs(numbers, **settings):
            data = ready(self.make(augment=[self.dimmed], **settings), "fit")
            loader = data.train_dataloader()
            return [self.read(loader, epoch) for epoch in numbers]

        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = epochs(range(3), num_workers=0)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert epochs(range(3), num_workers=2) == first
        assert epochs([2], num_workers=0, batch_size=5) == first[2:]
        assert first[1] != first[2]
        assert epochs([2], num_workers=0, shuffle_seed=1) != first[2:]

    def test_augmentation_is_drawn_anew_in_every_epoch(self):
        data = ready(self.make(augment=[self.dimmed], num_workers=0), "fit")
        loader = data.train_dataloader()
        seen = [contents_by_place(loader, epoch) for epoch in (0, 1)]
        assert all(seen[0][place] != seen[1][place] for place in seen[0])

    def test_training_images_alone_are_augmented(self):
        plain, augmented = self.make(), self.make(augment=[self.dimmed])
        for data in (plain, augmented):
            ready(data)
        for loader in ("val_dataloader", "test_dataloader"):
            assert self.read(getattr(augmented, loader)()) == self.read(getattr(plain, loader)())
        train = [set(self.contents(data.train_dataloader())) for data in (plain, augmented)]
        assert not train[0] & train[1]

    def test_without_a_seed_the_global_random_state_decides(self):
        def epoch(seed):
            torch.manual_seed(seed)
            data = ready(self.make(augment=[self.dimmed], shuffle_seed=None, num_workers=0), "fit")
            return self.read(data.train_dataloader())

        assert epoch(3) == epoch(3)
        assert epoch(3) != epoch(4)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_an_evaluation_reads_images_by_their_index(self, workers):
        data = ready(self.make(num_workers=workers), "fit")
        elements = self.read(data.val_dataloader())
        rows = [[7, 0, 3], [3, 9]]
        pool = ImagePool(data.val_dataloader())
        assert pool.total == len(elements)
        for row, batch in zip(rows, pool.batches([*map(torch.tensor, rows)]), strict=True):
            assert [*map(as_bytes, self.elements(batch))] == [elements[i] for i in row]


def as_bytes(element: tuple[Tensor, ...]) -> tuple[bytes, ...]:
    return tuple(part.numpy().tobytes() for part in element)


def contents_by_place(loader, epoch) -> dict[int, bytes]:
    loader.sampler.set_epoch(epoch)
    return {
        index: loader.dataset[index, seed][0].numpy().tobytes() for index, seed in loader.sampler
    }
