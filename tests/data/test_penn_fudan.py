"""PennFudanPed as it lies on disk, and what is wrong with other folders."""

import io
import re
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from bayesft.data import PennFudanDataModule
from bayesft.errors import DataError, SettingError
from tests.helpers.pedestrians import COLOUR, write_penn_fudan


def penn_fudan(folder, **settings):
    defaults = {"val_size": 5, "test_size": 6, "batch_size": 4, "num_workers": 0}
    return PennFudanDataModule(data_dir=folder, **defaults | {"shuffle_seed": 0} | settings)


@pytest.fixture
def found(tmp_path):
    return write_penn_fudan(tmp_path)


def refused(folder, message):
    """Before a training: both of `fit` and `test` call `prepare_data`."""
    with pytest.raises(DataError, match=message) as caught:
        penn_fudan(folder).prepare_data()
    assert len(str(caught.value).splitlines()) == 1


def names(part):
    return [part.found.images.paths[i].stem for i in part.places.tolist()]


def people(image):
    """The boxes of the persons, by their colours."""
    red, green = (image[:2] * 255).round()
    boxes = []
    for person in (1, 2, 3):
        rows, columns = torch.where((red == COLOUR) & (green == 60 * person))
        if len(rows):
            ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            boxes.append(torch.stack(ends).float())
    return torch.stack(boxes)


def test_boxes_are_those_of_the_masks(tmp_path, found):
    data = penn_fudan(tmp_path)
    data.prepare_data()
    data.setup()
    assert [len(part) for part in (data.train_set, data.val_set, data.test_set)] == [19, 5, 6]
    seen = {}
    for part in (data.train_set, data.val_set, data.test_set):
        for name, (image, target) in zip(
            names(part), (part[i] for i in range(len(part))), strict=True
        ):
            seen[name] = target["boxes"].tolist()
            assert target["labels"].tolist() == [1] * len(seen[name])
            # Photograph and mask belong together.
            assert torch.equal(people(image), target["boxes"])
    assert seen == found


def test_test_images_are_the_same_whatever_the_seed(tmp_path, found):
    parts = []
    for seed in (0, 1):
        data = penn_fudan(tmp_path, split_seed=seed)
        data.setup()
        parts.append([set(names(each)) for each in (data.train_set, data.val_set, data.test_set)])
        assert set.union(*parts[-1]) == set(found)
        assert sum(map(len, parts[-1])) == len(found)
    assert parts[0][2] == parts[1][2]
    assert parts[0][1] != parts[1][1]


def test_parts_may_be_given_in_place_of_numbers(tmp_path, found):
    data = penn_fudan(tmp_path, val_size=0.25, test_size=0.2)
    data.setup()
    assert [len(part) for part in (data.train_set, data.val_set, data.test_set)] == [18, 6, 6]


def test_large_images_are_made_smaller_in_their_proportions(tmp_path, found):
    whole, small = penn_fudan(tmp_path), penn_fudan(tmp_path, image_size=33)
    for data in (whole, small):
        data.setup("fit")
    for i in range(len(whole.train_set)):
        image, target = whole.train_set[i]
        less, fewer = small.train_set[i]
        height, width = image.shape[1:]
        assert less.shape == (3, round(height * 33 / width), 33)
        scale = torch.tensor([33 / width, less.shape[1] / height] * 2)
        torch.testing.assert_close(fewer["boxes"], target["boxes"] * scale)
        # Red is where the persons are.
        shown = less[0] * 255 > 0.75 * COLOUR
        x1, y1, x2, y2 = fewer["boxes"][0].round().int().tolist()
        assert shown[y1:y2, x1:x2].float().mean() > 0.5
    large = penn_fudan(tmp_path, image_size=500)
    large.setup("fit")
    assert torch.equal(large.train_set[0][0], whole.train_set[0][0])


def test_augmentation_moves_boxes_with_pixels(tmp_path, found):
    data = penn_fudan(tmp_path, augment=[v2.RandomHorizontalFlip(1.0)])
    data.setup("fit")
    plain = penn_fudan(tmp_path)
    plain.setup("fit")
    for i in range(len(data.train_set)):
        image, target = data.train_set[i]
        assert torch.equal(image, plain.train_set[i][0].flip(-1))
        assert torch.equal(people(image), target["boxes"])


def test_the_usual_transforms_keep_boxes_on_persons(tmp_path, found):
    augment = [
        v2.RandomZoomOut(side_range=(1.0, 1.5)),
        v2.RandomIoUCrop(),
        v2.RandomHorizontalFlip(),
    ]
    data = penn_fudan(tmp_path, augment=augment)
    data.setup("fit")
    loader, sizes = data.train_dataloader(), set()
    for images, targets in (batch for _ in range(3) for batch in loader):
        for image, target in zip(images, targets, strict=True):
            sizes.add(tuple(image.shape))
            shown = (image[0] * 255).round() == COLOUR
            for x1, y1, x2, y2 in target["boxes"].round().int().tolist():
                part = shown[y1:y2, x1:x2]
                # Of a whole person 80 % or more; a cut may show the narrow head alone.
                assert part.float().mean() > 0.4
    assert len(sizes) > 10


def test_a_folder_that_is_there_is_used_as_it_is(tmp_path, found, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: pytest.fail("a download"))
    for path in (tmp_path / "PennFudanPed").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    data = penn_fudan(tmp_path)
    data.prepare_data()
    data.setup()


class Response(io.BytesIO):
    """What `urlopen` returns."""

    @property
    def length(self):
        return len(self.getvalue())


def served(
    monkeypatch, content, address="https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip"
):
    asked = []

    def urlopen(request, *args, **kwargs):
        asked.append(request.full_url)
        response = Response(content)
        response.url = request.full_url
        return response

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked, address


def zipped(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return file.getvalue()


def flipped(whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        first = next(each for each in archive.infolist() if each.filename.endswith(".png"))
    place = first.header_offset + 30 + len(first.filename) + first.file_size // 2
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_what_is_missing_is_downloaded(tmp_path, found, monkeypatch):
    asked, address = served(monkeypatch, zipped(tmp_path))
    new = tmp_path / "new"
    data = penn_fudan(new)
    data.prepare_data()
    data.setup()
    assert set(asked) == {address}
    assert {*names(data.train_set), *names(data.val_set), *names(data.test_set)} == set(found)
    # Nothing else is left, neither the archive nor a part of it.
    assert [path.name for path in new.iterdir()] == ["PennFudanPed"]
    asked.clear()
    penn_fudan(new).prepare_data()
    assert asked == []


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], flipped])
def test_a_download_that_is_damaged_leaves_nothing(tmp_path, found, monkeypatch, damage):
    """Cut, or with another byte in the middle of an image."""
    served(monkeypatch, damage(zipped(tmp_path)))
    new = tmp_path / "new"
    refused(new, r"PennFudanPed is not usable in .*data=digits_detection")
    assert [*new.iterdir()] == []


def test_no_data_and_no_network(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    message = (
        r"PennFudanPed is not usable in .*nothing \(OSError: no network\)\. Expected .*nothing/"
        r"PennFudanPed with PNGImages.*paths.data_dir=.*; or use data=digits_detection"
    )
    refused(tmp_path / "nothing", message)


def test_a_folder_of_something_else(tmp_path, found):
    root = tmp_path / "PennFudanPed"
    shutil.rmtree(root / "PNGImages")
    shutil.rmtree(root / "PedMasks")
    refused(tmp_path, r"PennFudanPed is not usable .*there are no images in .*PNGImages")
    shutil.rmtree(root)
    root.write_text("a file")
    refused(tmp_path, r"PennFudanPed is not usable .*there is no folder .*PennFudanPed")
    root.unlink()
    with pytest.raises(DataError, match=r"there is no folder"):
        penn_fudan(tmp_path).setup("fit")


def test_an_image_without_a_mask_and_a_mask_without_an_image(tmp_path, found):
    root = tmp_path / "PennFudanPed"
    mask = root / "PedMasks" / "PennPed00003_mask.png"
    content = mask.read_bytes()
    mask.unlink()
    refused(
        tmp_path, r"PNGImages/PennPed00003.png has no mask: there is no .*PennPed00003_mask.png"
    )
    mask.write_bytes(content)
    (root / "PNGImages" / "FudanPed00002.png").unlink()
    refused(tmp_path, r"FudanPed00002_mask.png has no image: there is no .*/FudanPed00002.png")
    (root / "PedMasks" / "FudanPed00002_mask.png").rename(root / "PedMasks" / "FudanPed00002.png")
    refused(tmp_path, r"PedMasks/FudanPed00002.png has no image")
    shutil.rmtree(root / "PedMasks")
    refused(tmp_path, r"FudanPed00001.png has no mask")


def rewritten(folder, change, name="FudanPed00004_mask"):
    path = folder / "PennFudanPed" / "PedMasks" / f"{name}.png"
    with Image.open(path) as image:
        mask = np.asarray(image).copy()
    Image.fromarray(change(mask)).save(path)


def test_a_mask_without_a_person(tmp_path, found):
    rewritten(tmp_path, np.zeros_like)
    refused(tmp_path, r"FudanPed00004_mask.png has no object: all pixels are 0")


@pytest.mark.parametrize("place", [np.s_[2:9, 5], np.s_[5, 2:9], np.s_[5, 5]])
def test_a_box_of_zero_area(tmp_path, found, place):
    def line(mask):
        mask[:] = np.where(mask == 1, 1, 0)
        mask[place] = 7
        return mask

    rewritten(tmp_path, line)
    refused(tmp_path, r"Object 7 in .*FudanPed00004_mask.png has a box of zero area: its pixels")


def test_a_mask_of_another_size(tmp_path, found):
    rewritten(tmp_path, lambda mask: mask[:, :-1])
    refused(tmp_path, r"FudanPed00004_mask.png has 62 × 43 pixels, but its image, .*, has 63 × 43")


def test_a_mask_in_colours(tmp_path, found):
    rewritten(tmp_path, lambda mask: np.stack([mask] * 3, axis=-1))
    refused(tmp_path, r"FudanPed00004_mask.png is no mask\. .*got an image of mode RGB")


@pytest.mark.parametrize("change", [lambda mask: mask.astype(np.uint16), lambda mask: mask > 0])
def test_masks_in_other_types(tmp_path, found, change):
    """Sixteen bits; and yes or no for a single person."""
    rewritten(tmp_path, change, "FudanPed00001_mask")
    data = penn_fudan(tmp_path, val_size=1, test_size=1)
    data.setup()
    seen = {
        name: part[i][1]["boxes"].tolist()
        for part in (data.train_set, data.val_set, data.test_set)
        for i, name in enumerate(names(part))
    }
    assert seen == found


@pytest.mark.parametrize("part", ["PNGImages", "PedMasks"])
@pytest.mark.parametrize("keep", [0, 10])
def test_damaged_files_are_named(tmp_path, found, part, keep):
    path = sorted((tmp_path / "PennFudanPed" / part).iterdir())[3]
    path.write_bytes(path.read_bytes()[:keep])
    # And no other file is.
    refused(tmp_path, rf"^{re.escape(str(path))} cannot be read as an image")


def test_settings_that_cannot_be(tmp_path, found):
    for settings, message in (
        ({"image_size": 0}, r"`data.image_size` .* at least 1, but got 0"),
        ({"test_size": 1.5}, r"`data.test_size`.*between 0.0 and 1.0.*1.5"),
        ({"val_size": 0}, r"`data.val_size`.* but got 0"),
        ({"channels": 4}, r"`data.channels` to be 1 or 3, but got 4"),
    ):
        with pytest.raises(SettingError, match=message):
            penn_fudan(tmp_path, **settings)
    with pytest.raises(SettingError, match=r"`data.test_size`.*30 training images, but got 30"):
        penn_fudan(tmp_path, test_size=30).setup("test")
    with pytest.raises(SettingError, match=r"`data.val_size`.*24 training images, but got 24"):
        penn_fudan(tmp_path, val_size=24).setup("fit")
