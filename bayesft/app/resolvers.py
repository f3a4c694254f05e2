"""What a config can ask about the world: `${bayesft.classes_in:<folder>}` and the like."""

from pathlib import Path

from omegaconf import OmegaConf

from bayesft.data import image_folders
from bayesft.drift.cells import sha256_of


def classes_in(root: str | None) -> int:
    """Return how many classes of images the folder holds; see `bayesft.data.image_folders`."""
    return len(image_folders(root).classes)


def content_of(file: str | None) -> str | None:
    """Return what tells a file's content from any other, None of what cannot be read."""
    return None if file is None else sha256_of(Path(str(file)).expanduser())


OmegaConf.register_new_resolver("bayesft.classes_in", classes_in, replace=True)
OmegaConf.register_new_resolver("bayesft.content_of", content_of, replace=True)
