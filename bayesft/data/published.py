"""Published sets, which are downloaded where they are missing."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bayesft.data.base import ImageDataModule
from bayesft.data.module import SplitDataModule
from bayesft.errors import BayesFTError, DataError, reason_of
from bayesft.locks import Lock

Found = TypeVar("Found")


class Published(SplitDataModule):
    """A set that is downloaded where it is missing: say in `layout` how it lies.

    Args:
        data_dir: the folder that holds, or will hold, the set in torchvision's layout. What
            is there is used as it is, and may be read-only; what is missing is downloaded.
        settings: see the class that this one is mixed with.
    """

    title: str
    embedded: str = "digits"
    """The set of the same kind that needs no download."""
    layout: str
    """What `data_dir` holds, in words: `MNIST/raw with the four idx files`."""

    def __init__(self, *, data_dir: str | Path, **settings: Any) -> None:
        super().__init__(**settings)
        self.data_dir = Path(data_dir).expanduser()

    def usable(self, read: Callable[..., Found], *args: Any, **settings: Any) -> Found:
        """Return what `read` returns.

        Raises:
            DataError: it raised, for whatever reason.
        """
        try:
            return read(*args, **settings)
        except BayesFTError:
            raise
        # What a cut or foreign file makes the readers of archives, pickles and images
        # raise is beyond listing.
        except Exception as error:
            raise self.unusable(reason_of(error)) from error

    def fetch(self, read: Callable[[bool], object]) -> None:
        """Have what is missing downloaded, by one process at a time.

        Several searches may begin at once, and a file that is just being written is there.

        Args:
            read: reads the set; told whether to download what is missing.

        Raises:
            DataError: see `usable`.
        """
        with contextlib.suppress(DataError):
            read(False)
            return
        # Where a folder cannot be made, the download tells.
        with contextlib.suppress(OSError):
            self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.data_dir / f".{self.title}.lock")
        with lock if os.access(self.data_dir, os.W_OK) else contextlib.nullcontext():
            read(True)

    def unusable(self, reason: str) -> DataError:
        """Return the error that says what is wrong, what is expected, and what to do."""
        place, *_ = self.layout.split()
        return DataError(
            f"{self.title} is not usable in {self.data_dir} ({reason}). Expected "
            f"{self.data_dir}/{self.layout}, or a network to download them. Set "
            "paths.data_dir=<folder>, or the variable BAYESFT_DATA_DIR, to a folder that holds "
            f"{place}; or use data={self.embedded}, which needs no download."
        )


class PublishedDataModule(Published, ImageDataModule):
    """The base of the image sets that torchvision knows and downloads.

    Args: see `Published` and `ImageDataModule`.
    """
