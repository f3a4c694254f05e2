"""What a config can ask about the world: `${bayesft.classes_in:<folder>}`."""

from omegaconf import OmegaConf

from bayesft.data import image_folders


def classes_in(root: str | None) -> int:
    """Return how many classes of images the folder holds; see `bayesft.data.image_folders`."""
    return len(image_folders(root).classes)


OmegaConf.register_new_resolver("bayesft.classes_in", classes_in, replace=True)
