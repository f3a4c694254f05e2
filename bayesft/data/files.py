"""Images in files: class folders, and one image."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset
from torchvision.transforms.v2.functional import pil_to_tensor

from bayesft.errors import DataError, SettingError, reason_of

# What folders of validation images are called.
_VALIDATION = ("val", "valid", "validation")
_PARTS = ("train", *_VALIDATION, "test")

# The formats whose 16 bits Pillow may hand over in integers of 32.
_SCALED = ("PNG", "PPM")


class ImageFiles:
    """Image files by index; each is decoded when it is asked for.

    Args:
        paths: of the files.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Tensor:
        return read_image(self.paths[index])


def read_image(path: str | Path) -> Tensor:
    """Return the image in the file as uint8, shape `(3, height, width)`.

    What is transparent is white.

    Raises:
        DataError: the file cannot be read as an image, or its pixels have no known range.
    """
    with opened(path) as image:
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SCALED):
            # Grey in 16 bits, which a conversion would cut off at 255.
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            kind = "integers of 32 bits" if image.mode == "I" else "floats"
            raise DataError(
                f"The pixels of {path} are {kind}, and nothing says which of them is white. Save "
                "it with 8 bits for each colour, from 0 to 255."
            )
        if image.mode.endswith("A") or "transparency" in image.info:
            # A conversion drops it, and what is drawn in it alone would be black on black.
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return pil_to_tensor(image.convert("RGB"))


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """Open an image file; its pixels are decoded when they are asked for.

    Raises:
        DataError: the file cannot be opened, or what is done with it in the block fails.
    """
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        # Of another file that was opened in the block.
        raise
    # Each of the formats' decoders raises errors of its own.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as an image ({reason_of(error)}). Replace the file or "
            "remove it."
        ) from error


@dataclass(frozen=True)
class ImageFolders:
    """Where the class folders lie.

    Attributes:
        classes: the names of the folders that hold training images, sorted.
        train: the folder that holds those.
        val: the folder of the validation images' class folders, if there is one.
        test: the same for test images.
    """

    classes: tuple[str, ...]
    train: Path
    val: Path | None = None
    test: Path | None = None


def image_folders(root: str | Path | None) -> ImageFolders:
    """Return how the images lie below `root`.

    Training images are in `root/train` if that has folders in it, and in `root` itself
    otherwise. `Train` is `train`, and so with the others.

    Raises:
        SettingError: `root` is None.
        DataError: there is no such folder, or no class folder in it, or folders in place of images
            in a class folder.
    """
    layout = (
        "Expected a folder of images for each class, or train/, and val/ and test/ if there are "
        "such, that hold those"
    )
    if root is None:
        raise SettingError(
            f"`data.root` is not set. Say which folder holds the images: data.root=<folder>. "
            f"{layout}."
        )
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}, which `data.root` names. {layout}: data.root=<folder>."
        )
    found = _folders_in(root)
    parts = _parts_among(root, found)
    if "train" in parts and (classes := _folders_in(parts["train"])):
        val = next((parts[name] for name in _VALIDATION if name in parts), None)
        folders = ImageFolders(classes, parts["train"], val, parts.get("test"))
    elif set(found) - {each.name for each in parts.values()}:
        for folder in parts.values():
            if _folders_in(folder):
                raise DataError(
                    f"{root} (`data.root`) has class folders beside {folder.name}/, which has "
                    f"class folders of its own: are they classes, or parts? {layout}."
                )
        folders = ImageFolders(found, root)
    else:
        names = f"only {', '.join(found)}" if found else "none"
        raise DataError(f"There are no class folders in {root} (`data.root`): {names}. {layout}.")
    nested = [name for name in folders.classes if _holds_only_folders(folders.train / name)]
    if nested:
        first = folders.train / nested[0]
        raise DataError(
            f"Expected images in the class folders of {folders.train} (`data.root` is {root}), but "
            f"in {', '.join(nested)} there are only folders, such as {_folders_in(first)[0]}. If "
            f"those are the classes, set data.root={first}; if these are parts, call them train, "
            "val and test; or put each class's images into its folder itself."
        )
    return folders


def labelled_files(folder: Path, classes: Sequence[str]) -> tuple[list[str], Tensor]:
    """Return the image files in the class folders of `folder`, in a fixed order, and their labels.

    Args:
        folder: of the class folders; some of `classes` may be missing.
        classes: the classes' names; a label is a place among them.

    Returns:
        The paths, and their labels as int64, shape `(n,)`.

    Raises:
        DataError: a class folder has no images, there is none at all, or one more than `classes`.
    """
    found = _folders_in(folder)
    unknown = [name for name in found if name not in classes]
    if unknown:
        raise DataError(
            f"{folder} has classes that train/ does not have: {', '.join(unknown)}. The classes "
            f"are {', '.join(classes)}."
        )
    if not found:
        raise DataError(f"There are no class folders in {folder}. Fill it, or remove the folder.")
    labels = {name: classes.index(name) for name in found}
    files = make_dataset(folder, labels, IMG_EXTENSIONS, allow_empty=True)
    filled = {label for _, label in files}
    for name, label in labels.items():
        if label not in filled:
            raise DataError(
                f"The class folder {folder / name} has no images "
                f"({', '.join(end[1:] for end in IMG_EXTENSIONS)}). Fill it, or remove the folder."
            )
    paths, numbers = zip(*files, strict=True)
    return list(paths), torch.tensor(numbers, dtype=torch.int64)


def _parts_among(root: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the folders of `root` that are called as parts are, by the part's name."""
    parts = {}
    for name in names:
        part = name.lower()
        if part in parts:
            raise DataError(
                f"{root} (`data.root`) has both {parts[part].name}/ and {name}/. Put what is in "
                "them into one folder, or give one of them another name."
            )
        if part in _PARTS:
            parts[part] = root / name
    return parts


def _holds_only_folders(folder: Path) -> bool:
    # An image, which nearly all files are, ends the listing.
    images = (each for each in folder.iterdir() if each.suffix.lower() in IMG_EXTENSIONS)
    return next(images, None) is None and bool(_folders_in(folder))


def _folders_in(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    # Names that begin with a dot are what tools leave, such as .ipynb_checkpoints.
    names = (each.name for each in folder.iterdir() if each.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))
