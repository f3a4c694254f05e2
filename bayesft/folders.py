"""Folders that runs and searches write to."""

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
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingError(
            f"The folder {folder} cannot be written to ({error.strerror or error}). Choose "
            f"another: {setting}=<folder>."
        ) from error
