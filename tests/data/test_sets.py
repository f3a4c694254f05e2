"""Sets in memory, and sets that are made ready when they are read."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from bayesft.data import DigitsDataModule, ImageDataModule
from bayesft.data.form import ImageForm
from bayesft.data.sets import ReadyWhenRead

SETTINGS = {"image_size": 20, "val_size": 100, "channels": 3, "mean": 0.3, "std": 0.4}


def test_a_set_too_large_to_be_ready_gives_the_same_batches(monkeypatch):
    """Or pretrained networks, which want large images, would not fit in memory."""
    small = DigitsDataModule(**SETTINGS, shuffle_seed=0)
    small.setup("fit")
    monkeypatch.setattr("bayesft.data.base.READY_BYTES", 10**5)
    large = DigitsDataModule(**SETTINGS, shuffle_seed=0, num_workers=0)
    large.setup("fit")
    assert isinstance(small.train_set, TensorDataset)
    assert isinstance(large.train_set, ReadyWhenRead)
    for loader in ("train_dataloader", "val_dataloader"):
        for expected, got in zip(getattr(small, loader)(), getattr(large, loader)(), strict=True):
            torch.testing.assert_close(got[0], expected[0])
            assert torch.equal(got[1], expected[1])


def test_grey_in_three_channels_takes_no_more_memory():
    data = DigitsDataModule(**SETTINGS)
    data.setup("fit")
    images = data.train_set.tensors[0]
    assert images.untyped_storage().nbytes() == len(images) * 20 * 20 * 4


class Coloured(ImageDataModule):
    """Bytes in colours."""

    def load_train(self):
        return torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8), torch.arange(50) % 10

    load_test = load_train


def test_augmentation_gets_pixels_in_the_networks_size_and_the_sets_own_form():
    seen = []

    def look(image):
        seen.append((image.dtype, tuple(image.shape)))
        return image

    data = Coloured(image_size=12, channels=1, val_size=10, augment=[look], num_workers=0)
    data.setup("fit")
    list(data.train_dataloader())
    assert seen == [(torch.uint8, (3, 12, 12))] * 40


def test_what_augmentation_makes_larger_is_fitted():
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    double = [lambda image: image.repeat(1, 2, 2)]
    data = ReadyWhenRead(images, labels, labels, form=ImageForm(8), augment=double)
    assert data[2][0].shape == (1, 8, 8)


def test_a_seeded_index_is_a_function_of_the_seed_and_a_plain_one_of_the_global_state():
    def noisy(image):
        return image + torch.rand(image.shape)

    images, labels = torch.zeros(4, 1, 8, 8), torch.arange(4)
    data = ReadyWhenRead(images, labels, labels.flip(0), form=ImageForm(8), augment=[noisy])
    state = torch.get_rng_state()
    first = data[1, 17]
    assert int(first[1]) == 2
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(data[1, 17][0], first[0])
    assert not torch.equal(data[1, 18][0], first[0])
    plain = data[1][0]
    assert not torch.equal(data[1][0], plain)
    torch.manual_seed(1)
    assert torch.equal(data[1][0], plain)


def test_an_augmentation_that_raises_leaves_the_global_state_as_it_was():
    def broken(image):
        torch.rand(3)
        raise ValueError("no")

    images, labels = torch.zeros(4, 1, 8, 8), torch.arange(4)
    data = ReadyWhenRead(images, labels, labels, form=ImageForm(8), augment=[broken])
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="no"):
        data[0, 1]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_sets_can_be_read_by_any_loader():
    data = DigitsDataModule(**SETTINGS, augment=[torch.clone])
    data.setup("fit")
    for each in (data.train_set, data.val_set):
        images, labels = next(iter(DataLoader(each, batch_size=5)))
        assert images.shape == (5, 3, 20, 20)
        assert labels.shape == (5,)


@pytest.mark.parametrize(("pin", "gpu", "expected"), [(None, True, True), (None, False, False)])
def test_memory_is_pinned_where_there_is_a_gpu(monkeypatch, pin, gpu, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert DigitsDataModule(**SETTINGS, pin_memory=pin).pin_memory == expected
    assert DigitsDataModule(**SETTINGS, pin_memory=False).pin_memory is False


def test_images_of_one_batch_need_not_be_alike():
    """In type and in colours: each is what it would be alone."""
    labels = torch.arange(3)
    pixels = torch.randint(0, 256, (3, 3, 9, 7), dtype=torch.uint8)
    mixed = [pixels[0], pixels[1] / 255, pixels[2, :1]]
    data = ReadyWhenRead(mixed, labels, labels, form=ImageForm(8, channels=3, mean=0.3))
    batch = torch.stack([image for image, _ in data.__getitems__([0, 1, 2])])
    for image, alone in zip(batch, mixed, strict=True):
        torch.testing.assert_close(image, ImageForm(8, channels=3, mean=0.3)(alone))
    torch.testing.assert_close(batch[2, 0], batch[2, 1])
