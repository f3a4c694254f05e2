"""Small data sets in each published set's own format on disk; no two images are alike."""

import csv
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10


def pixels(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_mnist(folder: Path, *, compressed: bool = False, name: str = "MNIST") -> Path:
    """Write the four idx files: 40 training images, 12 test images.

    Training image i has the value i at row 3, column 5, test image i has 100 + i; labels are
    i modulo 10.
    """
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for part, first, count in (("train", 0, 40), ("t10k", 100, 12)):
        images = pixels(count, 28, 28, seed=first)
        images[:, 3, 5] = range(first, first + count)
        labels = bytes(i % 10 for i in range(count))
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 28, 28)
            + images.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">II", 0x801, count) + labels,
        }
        for file, content in files.items():
            (raw / file).write_bytes(content)
            if compressed:
                (raw / f"{file}.gz").write_bytes(gzip.compress(content))
    return folder


def write_cifar10(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, archive: bool = False
) -> dict[str, np.ndarray]:
    """Write CIFAR-10's batches: 60 training images, 20 test images; labels are i modulo 10.

    torchvision knows the published files by their MD5; it gets that of these.

    Args:
        archive: write `cifar-10-python.tar.gz` alone, as it is downloaded.

    Returns:
        The images of `train` and `test`, uint8, `(n, 3, 32, 32)`.
    """
    images = {"train": pixels(60, 3, 32, 32, seed=0), "test": pixels(20, 3, 32, 32, seed=1)}
    batches = {f"data_batch_{k + 1}": images["train"][12 * k :][:12] for k in range(5)}
    batches["test_batch"] = images["test"]
    files = {"batches.meta": pickle.dumps({"label_names": [f"class {i}" for i in range(10)]})}
    start = 0
    for name, some in batches.items():
        start = 0 if name == "test_batch" else start
        labels = [i % 10 for i in range(start, start + len(some))]
        # The published pickles are of Python 2; their keys come out as strings.
        files[name] = pickle.dumps({"data": some.reshape(len(some), -1), "labels": labels})
        start += len(some)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(
        CIFAR10, "train_list", [[name, sums[name]] for name in batches if name != "test_batch"]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    folder.mkdir(parents=True, exist_ok=True)
    if archive:
        path = folder / CIFAR10.filename
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
        return images
    (folder / CIFAR10.base_folder).mkdir()
    for name, content in files.items():
        (folder / CIFAR10.base_folder / name).write_bytes(content)
    return images


def write_gtsrb(folder: Path, *, tracks: int = 2, frames: int = 3) -> Path:
    """Write GTSRB: for each of 43 classes so many tracks of so many frames, and 20 test images.

    Images are of several sizes, as the published ones are.
    """
    training = folder / "gtsrb" / "GTSRB" / "Training"
    seed = 0
    for label in range(43):
        (training / f"{label:05d}").mkdir(parents=True)
        # The published folders hold such a table each.
        (training / f"{label:05d}" / f"GT-{label:05d}.csv").write_text("Filename;Width;Height\n")
        for track in range(tracks):
            for frame in range(frames):
                height, width = 15 + track + frame, 16 + label % 20
                image = Image.fromarray(pixels(height, width, 3, seed=seed))
                image.save(training / f"{label:05d}" / f"{track:05d}_{frame:05d}.ppm")
                seed += 1
    test = folder / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    test.mkdir(parents=True)
    with open(folder / "gtsrb" / "GT-final_test.csv", "w", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Filename", "Width", "Height", "ClassId"])
        for number in range(20):
            Image.fromarray(pixels(20, 24, 3, seed=10_000 + number)).save(
                test / f"{number:05d}.ppm"
            )
            table.writerow([f"{number:05d}.ppm", 24, 20, 2 * number])
    return folder


def write_images(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("cat", "dog", "owl"),
    count: int = 20,
    seed: int = 0,
) -> Path:
    """Write `count` images for each class, of several sizes, one of them grey."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            shape = (20 + i % 5, 30, 3) if i else (24, 24)
            image = Image.fromarray(pixels(*shape, seed=1000 * seed + 100 * number + i))
            image.save(folder / name / f"{i:03d}.png")
    return folder
