"""A small data set as PennFudanPed lies on disk; no two images are alike."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.archives import pixels

COLOUR = 200
"""A person's pixels have this in red, and its number times 60 in green; no others are so red."""


def write_penn_fudan(folder: Path, *, count: int = 30) -> dict[str, list[list[int]]]:
    """Write images of several sizes with one to three persons each.

    Returns:
        For each image's name the boxes, x1, y1, x2, y2, to the far edge of the last pixel.
    """
    root = folder / "PennFudanPed"
    for part in ("PNGImages", "PedMasks", "Annotation"):
        (root / part).mkdir(parents=True)
    (root / "readme.txt").write_text("Some persons.\n")
    found = {}
    for number in range(count):
        half = count // 2
        name = f"FudanPed{number + 1:05d}" if number < half else f"PennPed{number - half + 1:05d}"
        height, width = 40 + number % 5, 60 + number % 7
        image = pixels(height, width, 3, seed=number) // 2
        mask = np.zeros((height, width), dtype=np.uint8)
        boxes = []
        for person in range(1, number % 3 + 2):
            x, y = 20 * (person - 1) + number % 6, 3 + number % 4
            box = [x, y, x + 8 + number % 3, y + 20 + number % 5]
            # Upright, with a head narrower than the body.
            body = np.zeros_like(mask, dtype=bool)
            body[y + 5 : box[3], x : box[2]] = True
            body[y : y + 5, x + 2 : box[2] - 2] = True
            mask[body] = person
            image[body] = [COLOUR, 60 * person, 0]
            boxes.append(box)
        Image.fromarray(image).save(root / "PNGImages" / f"{name}.png")
        picture = Image.fromarray(mask)
        if number % 2:
            # As an image whose numbers are colours of a palette.
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        picture.save(root / "PedMasks" / f"{name}_mask.png")
        found[name] = boxes
    return found
