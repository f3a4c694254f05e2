"""What detectors find on a few images, as drift grows: kept in a file, and drawn."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from bayesft.drift import Chip, Drift, drifted
from bayesft.errors import SettingError, reason_of
from bayesft.robustness import clean_visit

FILE = "example_detections.npz"
PICTURE = "example_detections.png"

SURE = 0.5
"""Detections with a lower score are not shown."""

_OVERLAP = 0.5


class Boxes(NamedTuple):
    """Some boxes on one image: `(k, 4)`, x1 y1 x2 y2 in pixels, and labels `(k,)`."""

    boxes: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Examples:
    """What one detector finds on some images.

    Attributes:
        images: each `(h, w, channels)` in [0, 1].
        truth: their objects.
        found: by sigma, the boxes whose score is at least `SURE`, on one chip.
    """

    images: tuple[np.ndarray, ...]
    truth: tuple[Boxes, ...]
    found: dict[float, tuple[Boxes, ...]]

    def save(self, path: str | Path) -> None:
        """Write everything to an npz file."""
        arrays = {"sigmas": np.array(list(self.found))}
        for i, image in enumerate(self.images):
            arrays[f"image{i}"] = image
        for place, boxes in self._places().items():
            for i, each in enumerate(boxes):
                arrays |= {f"{place}.boxes{i}": each.boxes, f"{place}.labels{i}": each.labels}
        # A run that is killed meanwhile must not leave half of it.
        temporary = Path(f"{path}.{os.getpid()}")
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: str | Path) -> "Examples":
        """Read what `save` wrote.

        Raises:
            SettingError: the file is not such.
        """
        try:
            with open(path, "rb") as file, np.load(file) as arrays:
                count = sum(name.startswith("image") for name in arrays)
                sigmas = arrays["sigmas"].tolist()

                def boxes(place: str) -> tuple[Boxes, ...]:
                    return tuple(
                        Boxes(arrays[f"{place}.boxes{i}"], arrays[f"{place}.labels{i}"])
                        for i in range(count)
                    )

                images = tuple(arrays[f"image{i}"] for i in range(count))
                found = {sigma: boxes(f"found{n}") for n, sigma in enumerate(sigmas)}
                return cls(images, boxes("truth"), found)
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise SettingError(
                f"{path} holds no examples that BayesFT wrote ({reason_of(error)}). Expected the "
                "output of `Examples.save`."
            ) from error

    def _places(self) -> dict[str, tuple[Boxes, ...]]:
        return {"truth": self.truth} | {
            f"found{n}": boxes for n, boxes in enumerate(self.found.values())
        }


def examples_of(
    model: nn.Module,
    batch: tuple[Sequence[Tensor], Sequence[Mapping[str, Tensor]]],
    drift: Drift,
    sigmas: Sequence[float],
    chip: Chip,
) -> Examples:
    """Return what `model` finds on the images of `batch` at each sigma, on one chip.

    Weights, modes and random state are as before afterwards.

    Args:
        model: a detector; see `bayesft.tasks.Detection`.
        batch: images `(channels, h, w)` in [0, 1], and their targets.
        drift: what happens to a weight.
        sigmas: the strengths.
        chip: the same for all of them.
    """
    images, targets = batch
    found: dict[float, tuple[Boxes, ...]] = {}

    def see(ready: Any) -> None:
        found[sigma] = tuple(_sure(each) for each in model(ready[0]))

    for sigma in sigmas:
        with drifted(model, drift, sigma, chip):
            clean_visit(model, [(list(images), list(targets))], see)
    pixels = tuple(image.movedim(0, -1).clamp(0, 1).float().cpu().numpy() for image in images)
    return Examples(pixels, tuple(_boxes(each) for each in targets), found)


def first_examples(
    model: nn.Module,
    loader: DataLoader,
    drift: Drift,
    sigmas: Sequence[float],
    chip: Chip,
    *,
    count: int,
) -> Examples:
    """Return the examples of the first `count` images of a loader; see `examples_of`."""
    data = loader.dataset
    batch = loader.collate_fn([data[i] for i in range(min(count, len(data)))])
    return examples_of(model, batch, drift, sigmas, chip)


def draw_examples(
    examples: Mapping[str, Examples],
    path: str | Path,
    *,
    each: int | None = None,
    beside: bool = False,
) -> None:
    """Write a picture: a row for each image of each detector, a column for each common sigma.

    Objects are thin white frames. Found boxes are green where class and place are right
    (overlap of at least .5, each object once), else orange.

    Args:
        examples: by name; of the same images.
        path: of the file; its ending names the format.
        each: how many images of each detector; None for all.
        beside: put the detectors side by side, a row for each image.

    Raises:
        SettingError: there is no image, or no sigma that all of them have.
    """
    from matplotlib.figure import Figure

    rows = _cells(examples, _common_sigmas(examples), each)
    if not rows or not rows[0]:
        raise SettingError(
            f"There is nothing to draw: the examples of {', '.join(examples)} have no image or no "
            "sigma in common. Give them the same callbacks.example_detections.sigmas."
        )
    if beside:
        images = len(rows) // len(examples)
        rows = [[cell for row in rows[i::images] for cell in row] for i in range(images)]
    size = 1.9
    figure = Figure(
        figsize=(size * len(rows[0]) + 0.4, size * len(rows) + 0.6), layout="constrained"
    )
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for row, places in zip(rows, axes, strict=True):
        for (name, sigma, i), place in zip(row, places, strict=True):
            example = examples[name]
            _draw_cell(place, example.images[i], example.truth[i], example.found[sigma][i])
    for (name, sigma, _), place in zip(rows[0], axes[0], strict=True):
        place.set_title(f"{name}, σ = {sigma:g}" if beside else f"σ = {sigma:g}", fontsize=10)
    for row, places in zip(rows, axes, strict=True):
        name, _, i = row[0]
        if i == 0 and not beside:
            places[0].set_ylabel(name, fontsize=11)
    figure.savefig(path, dpi=150)


def _cells(
    examples: Mapping[str, Examples], sigmas: Sequence[float], each: int | None
) -> list[list[tuple[str, float, int]]]:
    """Return name, sigma and number of the image for each cell, in rows."""
    return [
        [(name, sigma, i) for sigma in sigmas]
        for name in examples
        for i in range(min(len(example.images[:each]) for example in examples.values()))
    ]


def _common_sigmas(examples: Mapping[str, Examples]) -> list[float]:
    first, *others = examples.values()
    return [sigma for sigma in first.found if all(sigma in each.found for each in others)]


def right(found: Boxes, truth: Boxes) -> list[bool]:
    """Return for each found box, in its order, whether it is an object's that none before was."""
    if not len(found.labels) or not len(truth.labels):
        return [False] * len(found.labels)
    overlaps = box_iou(torch.from_numpy(found.boxes), torch.from_numpy(truth.boxes)).numpy()
    taken: set[int] = set()
    answers = []
    for overlap, label in zip(overlaps, found.labels, strict=True):
        fits = [
            j
            for j in np.argsort(-overlap).tolist()
            if overlap[j] >= _OVERLAP and truth.labels[j] == label and j not in taken
        ]
        taken.update(fits[:1])
        answers.append(bool(fits))
    return answers


def _draw_cell(cell: Any, image: np.ndarray, truth: Boxes, found: Boxes) -> None:
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    cell.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for box in truth.boxes:
        cell.add_patch(_frame(Rectangle, box, color="white", linewidth=0.8, linestyle=":"))
    for box, is_right in zip(found.boxes, right(found, truth), strict=True):
        if math.isfinite(box.sum()):
            colour = "#56D98E" if is_right else "#FF9E4A"
            cell.add_patch(_frame(Rectangle, box, color=colour, linewidth=1.4))
    cell.set_xlim(-0.5, width - 0.5)
    cell.set_ylim(height - 0.5, -0.5)
    cell.set_xticks([])
    cell.set_yticks([])


def _frame(kind: Any, box: np.ndarray, **settings: Any) -> Any:
    x1, y1, x2, y2 = box
    # Pixels are centred on whole numbers.
    return kind((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, **settings)


def _sure(found: Mapping[str, Tensor]) -> Boxes:
    kept = found["scores"] >= SURE
    return _boxes({part: found[part][kept] for part in ("boxes", "labels")})


def _boxes(target: Mapping[str, Tensor]) -> Boxes:
    return Boxes(target["boxes"].float().cpu().numpy(), target["labels"].cpu().numpy())
