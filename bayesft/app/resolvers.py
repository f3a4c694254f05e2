"""What a config can ask about the world: `${bayesft.classes_in:<folder>}` and the like."""

from omegaconf import OmegaConf

from bayesft.data import image_folders
from bayesft.drift.cells import sha256_of


def classes_in(root: str | None) -> int:
    """Return how many classes of images the folder holds; see `bayesft.data.image_folders`."""
    return len(image_folders(root).classes)


OmegaConf.register_new_resolver("bayesft.classes_in", classes_in, replace=True)
OmegaConf.register_new_resolver("bayesft.sha256_of", sha256_of, replace=True)
