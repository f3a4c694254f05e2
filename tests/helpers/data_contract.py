"""What every image data module must do."""

import pytest
import torch
from torch.utils.data import TensorDataset

from bayesft.data import ImageDataModule
from bayesft.errors import DataError
from bayesft.robustness.images import ImagePool


def dimmed(image):
    """A random transform of any image of any type: no two draws are alike."""
    return (image * torch.rand(())).to(image.dtype)


def read(loader, epoch=None):
    """All of a loader's images and labels, of an epoch if it matters which."""
    if epoch is not None:
        loader.sampler.set_epoch(epoch)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def contents(loader) -> list[bytes]:
    return [image.numpy().tobytes() for image in read(loader)[0]]


def ready(data: ImageDataModule, stage: str | None = None) -> ImageDataModule:
    data.prepare_data()
    data.setup(stage)
    return data


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of a machine with one core
class DataContract:
    """Derive as `class TestMine(DataContract)`; give `sizes` and `make`.

    Attributes:
        sizes: how many images there are to train and validate on, and to test.
        colours: 1 for a grey set, 3 for a coloured one.
        classes: how many classes there are.
        in_memory: whether sets that are not augmented lie in memory, ready.
        own_val: whether the validation images are the set's own, and not split off.
    """

    sizes: tuple[int, int]
    colours = 1
    classes = 10
    in_memory = True
    own_val = False

    def make(self, **settings) -> ImageDataModule:
        raise AssertionError("return the data module, with `self.settings(**settings)`")

    def settings(self, **settings):
        """What the contract sets: validation takes about 10 images."""
        defaults = {"image_size": 16, "channels": self.colours, "batch_size": 16, "val_size": 10}
        return {**defaults, "num_classes": self.classes, "shuffle_seed": 0, **settings}

    def test_the_three_sets_are_disjoint_and_whole(self):
        data = ready(self.make())
        train, val, test = map(
            contents, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
        )
        assert (len(train) + len(val), len(test)) == self.sizes
        assert len(val) >= 10
        assert len({*train, *val, *test}) == sum(self.sizes)

    def test_the_split_follows_its_seed_alone(self):
        def sets(**settings):
            data = ready(self.make(**settings))
            return contents(data.val_dataloader()), contents(data.test_dataloader())

        first = sets()
        torch.manual_seed(5)
        assert sets(shuffle_seed=9, augment=[dimmed]) == first
        other = sets(split_seed=1)
        assert (other[0] == first[0]) == self.own_val
        assert other[1] == first[1]

    def test_a_part_may_be_given_in_place_of_a_number(self):
        data = ready(self.make(val_size=0.25), "fit")
        if not self.own_val:
            assert len(data.val_set) == pytest.approx(0.25 * self.sizes[0], abs=5)

    def test_fitting_never_reads_the_test_set(self, monkeypatch):
        data = self.make()

        def refused(self):
            raise AssertionError("the test set was read")

        monkeypatch.setattr(type(data), "load_test", refused)
        data.prepare_data()
        data.setup("fit")
        data.setup("validate")
        assert data.test_set is None

    @pytest.mark.parametrize("augment", [None, [dimmed]])
    @pytest.mark.parametrize("size", [9, 16, 33])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_size_and_number_of_channels(self, size, channels, augment):
        data = ready(self.make(image_size=size, channels=channels, augment=augment))
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            images, labels = next(iter(loader))
            assert images.shape[1:] == (channels, size, size)
            assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
            assert len(images) == len(labels)
            assert images.min() >= 0
            assert images.max() <= 1
            if channels > self.colours:
                assert torch.equal(images[:, 0], images[:, 2])

    def test_pixels_are_normalised(self):
        plain = read(ready(self.make(), "fit").val_dataloader())[0]
        data = ready(self.make(mean=0.5, std=0.25), "fit")
        torch.testing.assert_close(read(data.val_dataloader())[0], (plain - 0.5) / 0.25)

    def test_an_epoch_is_a_function_of_its_number_and_the_seed_alone(self):
        def epochs(numbers, **settings):
            data = ready(self.make(augment=[dimmed], **settings), "fit")
            loader = data.train_dataloader()
            return [read(loader, epoch) for epoch in numbers]

        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = epochs(range(3), num_workers=0)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        workers = epochs(range(3), num_workers=2)
        for expected, got in zip(first, workers, strict=True):
            assert all(map(torch.equal, got, expected))
        [resumed] = epochs([2], num_workers=0, batch_size=5)
        assert all(map(torch.equal, resumed, first[2]))
        assert not torch.equal(first[1][0], first[2][0])
        [other] = epochs([2], num_workers=0, shuffle_seed=1)
        assert not torch.equal(other[0], first[2][0])

    def test_augmentation_is_drawn_anew_in_every_epoch(self):
        data = ready(self.make(augment=[dimmed], num_workers=0), "fit")
        loader = data.train_dataloader()
        seen = [contents_by_place(loader, epoch) for epoch in (0, 1)]
        assert all(seen[0][place] != seen[1][place] for place in seen[0])

    def test_training_images_alone_are_augmented(self):
        plain, augmented = self.make(), self.make(augment=[dimmed])
        for data in (plain, augmented):
            ready(data)
        for loader in ("val_dataloader", "test_dataloader"):
            assert contents(getattr(augmented, loader)()) == contents(getattr(plain, loader)())
        train = [set(contents(data.train_dataloader())) for data in (plain, augmented)]
        assert not train[0] & train[1]

    def test_without_a_seed_the_global_random_state_decides(self):
        def epoch():
            torch.manual_seed(3)
            data = ready(self.make(augment=[dimmed], shuffle_seed=None, num_workers=0), "fit")
            return read(data.train_dataloader())

        assert all(map(torch.equal, epoch(), epoch()))

    def test_an_evaluation_reads_images_by_their_index(self):
        data = ready(self.make(), "fit")
        images, labels = read(data.val_dataloader())
        chosen = torch.tensor([7, 0, 3])
        [batch] = ImagePool(data.val_dataloader()).batches([chosen])
        assert torch.equal(batch[0], images[chosen])
        assert torch.equal(batch[1], labels[chosen])

    def test_sets_that_are_not_augmented_are_read_in_whole_batches(self):
        data = ready(self.make(), "fit")
        for each in (data.train_set, data.val_set):
            assert isinstance(each, TensorDataset) == self.in_memory
        assert (data.val_dataloader().num_workers == 0) == self.in_memory
        data = ready(self.make(augment=[dimmed]), "fit")
        assert data.train_dataloader().num_workers > 0

    def test_labels_beyond_the_classes(self):
        labels = read(ready(self.make(), "test").test_dataloader())[1]
        assert labels.min() >= 0
        assert labels.max() < self.classes
        with pytest.raises(DataError, match=r"`data.num_classes` is 2, but the labels run from 0"):
            ready(self.make(num_classes=2), "fit")


def contents_by_place(loader, epoch) -> dict[int, bytes]:
    loader.sampler.set_epoch(epoch)
    return {
        index: loader.dataset[index, seed][0].numpy().tobytes() for index, seed in loader.sampler
    }
