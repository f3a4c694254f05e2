"""The picture of what detectors find as drift grows."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from bayesft.errors import SettingError
from bayesft.report.examples import Boxes, Examples

PICTURE = "example_detections.png"

_OVERLAP = 0.5


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
