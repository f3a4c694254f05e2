"""Train, validation and test never overlap, and are what the settings say."""

import subprocess
import sys

import pytest
import torch

from bayesft.data import DigitsDataModule, ImageDataModule
from bayesft.data.split import split_indices
from bayesft.errors import DataError, SettingError

SIZES = {"image_size": 8, "val_size": 360}


class Numbered(ImageDataModule):
    """Image i is filled with i; test images are numbered from 1000."""

    def load_train(self):
        return self._numbered(0, 100)

    def load_test(self):
        return self._numbered(1000, 20)

    @staticmethod
    def _numbered(first, count):
        numbers = torch.arange(first, first + count)
        return numbers.float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4), numbers % 10


def numbered(**settings) -> Numbered:
    return Numbered(**{"image_size": 4, "val_size": 30, "batch_size": 16} | settings)


def numbers(loader) -> list[int]:
    return torch.cat([images[:, 0, 0, 0] for images, _ in loader]).long().tolist()


def test_a_module_without_test_images_is_none():
    class Halved(ImageDataModule):
        def load_train(self):
            return Numbered._numbered(0, 100)

    with pytest.raises(TypeError, match=r"abstract method '?load_test"):
        Halved(image_size=4, val_size=30)


def test_the_three_sets_are_disjoint_and_whole():
    data = numbered()
    data.setup()
    train, val, test = map(
        numbers, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    )
    assert (len(train), len(val), len(test)) == (70, 30, 20)
    assert sorted(train + val) == list(range(100))
    assert test == list(range(1000, 1020))


def test_fitting_never_loads_the_test_set():
    class NoTest(Numbered):
        def load_test(self):
            raise AssertionError("the test set was read")

    data = NoTest(image_size=4, val_size=30)
    data.setup("fit")
    data.setup("validate")
    assert data.test_set is None


def test_the_split_follows_its_seed_alone():
    def val(**settings):
        data = numbered(**settings)
        data.setup("fit")
        return numbers(data.val_dataloader())

    first = val()
    torch.manual_seed(5)
    assert val(shuffle_seed=9) == first
    assert val(split_seed=1) != first


def test_the_order_of_batches_follows_its_seed_alone():
    def orders(epochs=2, **settings):
        data = numbered(**settings)
        data.setup("fit")
        loader = data.train_dataloader()
        return [numbers(loader) for _ in range(epochs)]

    first = orders(shuffle_seed=0)
    torch.rand(3)
    assert orders(shuffle_seed=0) == first
    assert first[0] != first[1]
    assert orders(shuffle_seed=1) != first


def test_digits_hold_no_image_twice_across_sets():
    """By content, and whatever the split's seed: no test image is ever trained on."""
    data, other = DigitsDataModule(**SIZES), DigitsDataModule(**SIZES, split_seed=7)
    data.setup()
    other.setup()
    assert len(data.train_set) + len(data.val_set) + len(data.test_set) == 1797
    assert torch.equal(data.test_set.tensors[0], other.test_set.tensors[0])
    rows = {
        name: {image.numpy().tobytes() for image in part.tensors[0]}
        for name, part in (("fit", data.train_set), ("val", data.val_set), ("test", data.test_set))
    }
    assert not rows["fit"] & rows["val"]
    assert not rows["fit"] & rows["test"]
    assert not rows["val"] & rows["test"]


def test_pixels_are_resized_normalised_and_repeated():
    data = DigitsDataModule(image_size=12, val_size=10, channels=3, mean=0.5, std=0.25)
    data.setup("fit")
    images = data.train_set.tensors[0]
    assert images.shape == (1797 - 450 - 10, 3, 12, 12)
    assert torch.equal(images[:, 0], images[:, 2])
    assert images.min() >= -2
    assert images.max() <= 2
    plain = DigitsDataModule(image_size=8, val_size=10, mean=0.5, std=0.25)
    plain.setup("fit")
    assert plain.train_set.tensors[0].min() == -2  # black is 0: (0 - 0.5) / 0.25


def test_a_worker_process_gives_the_same_batches():
    data, worked = numbered(), numbered(num_workers=1)
    for each in (data, worked):
        each.setup("fit")
    assert numbers(worked.val_dataloader()) == numbers(data.val_dataloader())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_size": 0}, "`data.val_size`.*at least 1.*got 0"),
        ({"batch_size": 0}, "`data.batch_size`"),
        ({"batch_size": 2.5}, "`data.batch_size`.*2.5"),
        ({"image_size": 0}, "`data.image_size`"),
        ({"num_workers": -1}, "`data.num_workers`"),
        ({"channels": 2}, "`data.channels` to be 1 or 3"),
        ({"std": 0.0}, "`data.std`"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        numbered(**settings)


def test_a_validation_set_as_large_as_all():
    with pytest.raises(SettingError, match="smaller than the 100 training images, but got 100"):
        split_indices(100, 100, seed=0)


def test_labels_beyond_the_classes():
    with pytest.raises(DataError, match=r"`data.num_classes` is 5.*from 0 to 9"):
        numbered(num_classes=5).setup("fit")


def test_importing_reads_nothing():
    """Neither data nor the library that holds them."""
    code = "import sys, bayesft.data; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
