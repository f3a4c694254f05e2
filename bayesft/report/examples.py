"""What detectors find on a few images, as drift grows, kept in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bayesft.drift import Chip, Drift, drifted
from bayesft.errors import SettingError, reason_of
from bayesft.folders import at_once
from bayesft.robustness import clean_visit

FILE = "example_detections.npz"

SURE = 0.5
"""Detections with a lower score are not shown."""


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
        with at_once(Path(path)) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

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


def _sure(found: Mapping[str, Tensor]) -> Boxes:
    kept = found["scores"] >= SURE
    return _boxes({part: found[part][kept] for part in ("boxes", "labels")})


def _boxes(target: Mapping[str, Tensor]) -> Boxes:
    return Boxes(target["boxes"].float().cpu().numpy(), target["labels"].cpu().numpy())
