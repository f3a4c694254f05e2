"""A folder of images: how it may lie, and what is wrong with others."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from bayesft.data import FolderDataModule
from bayesft.data.files import image_folders, read_image
from bayesft.errors import DataError, SettingError
from tests.helpers.archives import write_images


def folder(root, **settings):
    defaults = {"image_size": 16, "val_size": 0.2, "batch_size": 8, "num_workers": 0}
    return FolderDataModule(root=root, **defaults | settings)


def paths(data_set):
    return {data_set.images.paths[i] for i in data_set.places.tolist()}


def test_a_missing_test_set_is_split_off_whatever_the_seed(tmp_path):
    write_images(tmp_path)
    tests = []
    for seed in (0, 1):
        data = folder(tmp_path, split_seed=seed, val_size=9, test_size=12)
        data.setup()
        parts = [paths(each) for each in (data.train_set, data.val_set, data.test_set)]
        assert [len(part) for part in parts] == [39, 9, 12]
        assert len(set.union(*parts)) == 60
        tests.append(parts[2])
    assert tests[0] == tests[1]


def test_what_is_there_is_used_as_it_is(tmp_path):
    write_images(tmp_path / "train", count=10)
    write_images(tmp_path / "test", count=4, classes=("dog", "owl"))
    data = folder(tmp_path, val_size=6)
    data.prepare_data()
    data.setup()
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (24, 6, 8)
    assert all("/train/" in path for path in paths(data.train_set) | paths(data.val_set))
    # The labels are those of the training classes: there is no cat in test/.
    assert data.test_set.labels.tolist() == [1] * 4 + [2] * 4


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path, classes=("bus", "test", "train"))
    data = folder(tmp_path)
    data.prepare_data()
    assert data.num_classes == 3


def test_what_tools_leave_is_no_class(tmp_path):
    write_images(tmp_path)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("about cats")
    (tmp_path / "README").write_text("three classes")
    data = folder(tmp_path)
    data.prepare_data()
    assert (data.num_classes, len(data.load_train().images)) == (3, 48)


def test_a_random_crop_is_of_the_whole_picture(tmp_path):
    sizes = []

    def seen(image):
        sizes.append(tuple(image.shape))
        return image

    write_images(tmp_path)
    augment = [seen, v2.RandomResizedCrop(16, antialias=True)]
    data = folder(tmp_path, augment=augment, shuffle_seed=0)
    data.setup("fit")
    images = torch.cat([images for images, _ in data.train_dataloader()])
    assert images.shape[1:] == (3, 16, 16)
    assert len(set(sizes)) > 2
    assert set(sizes) <= {(3, 24, 24), *((3, height, 30) for height in range(20, 25))}


def test_without_a_crop_an_augmented_image_is_fitted(tmp_path):
    write_images(tmp_path)
    data = folder(tmp_path, augment=[v2.RandomHorizontalFlip()], shuffle_seed=0)
    data.setup("fit")
    assert next(iter(data.train_dataloader()))[0].shape == (8, 3, 16, 16)


def test_no_root():
    with pytest.raises(SettingError, match=r"`data.root` is not set.*data.root=<folder>"):
        folder(None)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder .*nowhere.*data.root=<folder>"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"There are no class folders in .*: none"):
        folder(tmp_path)
    write_images(tmp_path / "test")
    with pytest.raises(DataError, match=r"There are no class folders in .*: only test"):
        folder(tmp_path)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_an_empty_class_folder(tmp_path, part):
    for each in ("train", "val", "test"):
        write_images(tmp_path / each, count=3)
    for path in (tmp_path / part / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=rf"class folder .*/{part}/dog has no images \(jpg"):
        folder(tmp_path).prepare_data()


def test_classes_that_training_does_not_have(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", classes=("cat", "cow"))
    with pytest.raises(DataError, match=r"val has classes that train/ does not have: cow\. .*cat"):
        folder(tmp_path).prepare_data()
    (tmp_path / "test").mkdir()
    for path in [*(tmp_path / "val").rglob("*.png")]:
        path.unlink()
    for path in (tmp_path / "val").iterdir():
        path.rmdir()
    with pytest.raises(DataError, match=r"There are no class folders in .*val"):
        folder(tmp_path).prepare_data()


@pytest.mark.parametrize("keep", [0, 10, 700])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named(tmp_path, keep, workers):
    write_images(tmp_path)
    path = tmp_path / "owl" / "003.png"
    path.write_bytes(path.read_bytes()[:keep])
    data = folder(tmp_path, num_workers=workers)
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    with pytest.raises(DataError, match=r"owl/003.png cannot be read as an image"):
        [list(loader) for loader in loaders]


def test_a_split_that_leaves_nothing(tmp_path):
    write_images(tmp_path)
    with pytest.raises(SettingError, match=r"`data.test_size`.*60 training images, but got 60"):
        folder(tmp_path, test_size=60).setup("fit")
    with pytest.raises(SettingError, match=r"`data.test_size`.*between 0.0 and 1.0.*1.5"):
        folder(tmp_path, test_size=1.5)


def test_grey_in_16_bits_is_scaled(tmp_path):
    pixels = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png")
    assert image.shape == (3, 8, 8)
    assert torch.equal(image[0], torch.from_numpy(pixels // 256).to(torch.uint8))


def test_grey_in_16_bits_of_another_format_is_scaled(tmp_path):
    pixels = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "deep.pgm")
    Image.fromarray(pixels).save(tmp_path / "deep.tif")
    expected = torch.from_numpy(pixels // 256).to(torch.uint8)
    assert torch.equal(read_image(tmp_path / "deep.pgm")[0], expected)
    assert torch.equal(read_image(tmp_path / "deep.tif")[0], expected)


@pytest.mark.parametrize(
    ("dtype", "largest", "words"),
    [(np.int32, 255, "integers of 32 bits"), (np.float32, 1, "floats")],
)
def test_pixels_of_no_known_range_are_refused(tmp_path, dtype, largest, words):
    """They would be all black."""
    path = tmp_path / "grey.tif"
    Image.fromarray(np.linspace(0, largest, 64).reshape(8, 8).astype(dtype)).save(path)
    with pytest.raises(DataError, match=rf"The pixels of .*grey.tif are {words}.*with 8 bits"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_what_is_transparent_is_white(tmp_path, mode):
    """A drawing may be in the transparency alone."""
    clear = np.zeros((8, 8), dtype=bool)
    clear[2:, 3:] = True
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (8, 8))
        image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        image.save(tmp_path / "drawn.png")
    else:
        # The value 1, as black as 0, is the transparent one.
        image = Image.fromarray(clear.astype(np.uint8))
        if mode == "P":
            image.putpalette([0] * 6)
        image.save(tmp_path / "drawn.png", transparency=1)
    drawn = read_image(tmp_path / "drawn.png")
    assert drawn.shape == (3, 8, 8)
    black = 0 if mode != "L" else drawn[0, 0, 0]
    assert torch.equal(drawn[1], torch.where(torch.from_numpy(clear), 255, black).byte())


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_what_validation_images_are_called(tmp_path, name):
    for part in ("train", name):
        write_images(tmp_path / part)
    assert image_folders(tmp_path).val == tmp_path / name


def test_class_folders_beside_a_part(tmp_path):
    """Or the test images would be trained on, as a class of that name."""
    write_images(tmp_path)
    write_images(tmp_path / "test")
    with pytest.raises(DataError, match="beside test/, which has class folders of its own"):
        image_folders(tmp_path)


def test_parts_may_begin_with_a_capital(tmp_path):
    for part in ("Train", "VAL", "Test"):
        write_images(tmp_path / part, count=3)
    found = image_folders(tmp_path)
    assert found.classes == ("cat", "dog", "owl")
    assert [each.name for each in (found.train, found.val, found.test)] == ["Train", "VAL", "Test"]


def test_two_folders_of_one_part(tmp_path):
    for part in ("Train", "train"):
        (tmp_path / part / "cat").mkdir(parents=True)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("a file system that does not tell Train from train")
    with pytest.raises(DataError, match="has both Train/ and train/"):
        image_folders(tmp_path)


@pytest.mark.parametrize("names", [("testing", "training"), ("animals",), ("animals", "plants")])
def test_folders_in_place_of_images(tmp_path, names):
    """Or a training of which animal it is would learn what is an animal."""
    for name in names:
        write_images(tmp_path / name)
    words = rf"`data.root` is .* in {', '.join(names)} there are only folders, such as cat\. "
    with pytest.raises(DataError, match=rf"{words}.*data.root=.*/{names[0]};.*train, val and test"):
        image_folders(tmp_path)


def test_images_deeper_in_a_class_folder_belong_to_it(tmp_path):
    write_images(tmp_path, count=5)
    (tmp_path / "cat" / "more").mkdir()
    (tmp_path / "cat" / "000.png").rename(tmp_path / "cat" / "more" / "000.png")
    data = folder(tmp_path)
    data.prepare_data()
    assert (data.num_classes, len(data.load_train().labels)) == (3, 12)


def test_one_class_folder(tmp_path):
    write_images(tmp_path / "train", classes=("cat",))
    with pytest.raises(DataError, match=r"two class folders in .*train \(`data.root`.*only cat\."):
        folder(tmp_path)
