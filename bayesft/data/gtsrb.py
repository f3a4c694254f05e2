"""The German Traffic Sign Recognition Benchmark, from torchvision."""

import math
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import GTSRB

from bayesft.data.base import READY_BYTES
from bayesft.data.files import ImageFiles, read_image
from bayesft.data.published import PublishedDataModule
from bayesft.data.sets import Labelled

_CLASSES = 43


class GTSRBDataModule(PublishedDataModule):
    """GTSRB: colour images of 43 traffic signs, 12,630 of them to test.

    To train and validate on there are those that torchvision offers.

    The training images are frames of films, about thirty of each physical sign (a track,
    the first number of a file's name). The frames of a track are near-duplicates, so they
    stay together: all are trained on or all validated on.

    Images of 15 to 250 pixels are resized to a square when they are loaded, or, if they would
    not fit in memory well, when they are read.

    Args: see `PublishedDataModule`.

    Source: Stallkamp, Schlipsing, Salmen and Igel, "Man vs. computer: Benchmarking machine
    learning algorithms for traffic sign recognition", Neural Networks 32, 2012.
    """

    title = "GTSRB"
    layout = (
        "gtsrb with GTSRB/Training/<class>/*.ppm, GTSRB/Final_Test/Images/*.ppm and "
        "GT-final_test.csv"
    )

    def __init__(self, *, num_classes: int = _CLASSES, channels: int = 3, **settings: Any) -> None:
        super().__init__(num_classes=num_classes, channels=channels, **settings)

    def prepare_data(self) -> None:
        self.fetch(lambda download: [self._files(s, download=download) for s in ("train", "test")])

    def load_train(self) -> Labelled:
        paths, labels = self._files("train")
        names = [(path.parent.name, path.stem.rpartition("_")[0]) for path in paths]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return self._read(paths, labels)._replace(
            groups=torch.tensor([numbers[name] for name in names])
        )

    def load_test(self) -> Labelled:
        return self._read(*self._files("test"))

    def _files(self, split: str, *, download: bool = False) -> tuple[list[Path], list[int]]:
        found = self.usable(GTSRB, str(self.data_dir), split=split, download=download)
        paths = [Path(path) for path, _ in found._samples]
        if split == "test":
            return paths, [label for _, label in found._samples]
        # torchvision numbers the folders that are there: with one missing, all after it
        # would have another's label.
        folders = {path.parent.name for path in paths}
        if folders != {f"{number:05d}" for number in range(_CLASSES)}:
            raise self.unusable(
                f"the training images are in {len(folders)} class folders, not in the "
                f"{_CLASSES} from 00000 to {_CLASSES - 1:05d}"
            )
        return paths, [int(path.parent.name) for path in paths]

    def _read(self, paths: list[Path], labels: list[int]) -> Labelled:
        numbers = torch.tensor(labels, dtype=torch.int64)
        shape = (len(paths), 3, self.image_size, self.image_size)
        if math.prod(shape) > READY_BYTES:
            return Labelled(ImageFiles(paths), numbers)
        images = torch.empty(shape, dtype=torch.uint8)
        for image, path in zip(images, paths, strict=True):
            image.copy_(self.form.fit(read_image(path)))
        return Labelled(images, numbers)
