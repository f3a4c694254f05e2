"""Locks between processes that share a folder."""

import errno
import os

from filelock import FileLock, Timeout

# What a file system without locks answers: some network mounts.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Lock:
    """A context that one process at a time is in; who is in may enter again.

    The system takes it back however its holder ends. Where the file system has no
    locks it keeps nobody out.

    Args:
        path: of the lock's own file, which stays.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._lock = FileLock(path)

    def is_free(self) -> bool:
        """Whether nobody holds it; False where that cannot be told."""
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        self._lock.release()
        return True

    def acquire(self) -> None:
        """Wait until nobody else holds it, and hold it."""
        try:
            self._lock.acquire()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def release(self) -> None:
        """Give it back, as often as it was acquired; nothing happens if it is not held."""
        self._lock.release()

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
