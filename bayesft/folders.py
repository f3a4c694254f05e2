"""Folders and files that runs and searches write, and how a command names them."""

import contextlib
import os
import re
import shlex
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesft.errors import SettingError

# What Hydra takes without quotes, and a shell too.
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


def make_writable(folder: Path, setting: str, value: str = "<folder>") -> None:
    """Make `folder` if it is not there, and see that it can be written to.

    Asked before hours of training, not after.

    Args:
        folder: to write to.
        setting: how a person chooses another.
        value: what that setting is set to.

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
            f"another: {setting}={value}."
        ) from error


def override(setting: str, path: str | os.PathLike[str]) -> str:
    """Return the override that sets a path, quoted for Hydra's grammar where that is needed."""
    text = str(path)
    if not _PLAIN.fullmatch(text):
        # A backslash means itself, but for those before a quote, an interpolation or the end.
        escaped = re.sub(r'(\\*)("|\$\{|\Z)', _escaped, text)
        text = f'"{escaped}"'
    return f"{setting}={text}"


def _escaped(found: re.Match[str]) -> str:
    backslashes, before = found.groups()
    return 2 * backslashes + (f"\\{before}" if before else "")


def typed(setting: str, path: str | os.PathLike[str]) -> str:
    """Return `override` as it is typed in a shell."""
    return shlex.quote(override(setting, path))


@contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Give a file to write to, which is `path` when the block ends: all of it, or as it was.

    A reader never sees half of it, and one that was killed leaves none. Whoever has to
    outlive a power cut syncs it.
    """
    # Of processes of two machines, or threads of one process, each has its own.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
