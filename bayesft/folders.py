"""Folders that runs and searches write to."""

import tempfile
from pathlib import Path

from bayesft.errors import SettingError


def make_writable(folder: Path, setting: str) -> None:
    """Make `folder` if it is not there, and see that it can be written to.

    Asked before hours of training, not after.

    Args:
        folder: to write to.
        setting: how a person chooses another.

    Raises:
        SettingError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A name of its own: several processes may ask at once.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SettingError(
            f"The folder {folder} cannot be written to ({error.strerror or error}). Choose "
            f"another: {setting}=<folder>."
        ) from error
