"""One process that works on a study, and whether another one is still alive.

Each process holds a lock beside the journal for as long as it lives, which the
system takes back however it ends, and touches a file every few seconds. A process of
the same machine is dead as soon as its lock is free; one of another machine, where
a lock tells less, when its file has been silent for too long. What is compared are
times that the shared file system gave to files, so that clocks may differ.
"""

import glob
import os
import socket
import threading
import uuid
from pathlib import Path

from bayesft.locks import Lock

# Beats in the time after which silence means death.
_BEATS = 6


class Worker:
    """What a process is to the others on the same journal: alive inside this context.

    Example:
        >>> with Worker(tmp_path / "journal.jsonl", heartbeat=60) as worker:
        ...     worker.is_alive(worker.name)
        True

    Attributes:
        name: of this process, unique; what the journal says of its trials. It has one
            inside the context alone.

    Args:
        path: of the journal; the processes leave their files beside it.
        heartbeat: seconds of silence after which a process counts as dead.
    """

    def __init__(self, path: Path, *, heartbeat: float) -> None:
        self.path = path
        self.heartbeat = heartbeat
        self._host = socket.gethostname()
        self._stop = threading.Event()
        self.name = ""

    def is_alive(self, name: str) -> bool:
        """Whether the process called `name` still works on the study."""
        if name == self.name:
            return True
        try:
            beaten = self._beat_of(name).stat().st_mtime
        except OSError:
            # It left, or was found dead before.
            return False
        if name.rsplit("-", 2)[0] == self._host and self._lock_of(name).is_free():
            return False
        return self._now() - beaten < self.heartbeat

    def renew(self) -> None:
        """Come back under a new name if the others took this process for dead.

        A machine that slept, say. The trials under the old name are theirs now.
        """
        if not self._now():
            self._lock.release()
            self._register()

    def bury(self) -> None:
        """Remove what dead processes left. Call with the journal locked."""
        prefix, suffix = f"{self.path.name}.", ".beat"
        for beat in self.path.parent.glob(f"{glob.escape(prefix)}*{suffix}"):
            name = beat.name[len(prefix) : -len(suffix)]
            if not self.is_alive(name):
                self._remove(name)

    def __enter__(self) -> "Worker":
        self._register()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._lock.release()
        self._remove(self.name)

    def _register(self) -> None:
        self.name = f"{self._host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = self._lock_of(self.name)
        self._lock.acquire()
        self._beat_of(self.name).touch()

    def _remove(self, name: str) -> None:
        for path in (self._beat_of(name), self._lock_path_of(name)):
            path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(self.heartbeat / _BEATS):
            self._now()

    def _now(self) -> float:
        """Touch this process's file, and return the file system's time."""
        beat = self._beat_of(self.name)
        try:
            # Not `touch`, which would bring back a file that the others removed.
            os.utime(beat)
            return beat.stat().st_mtime
        except OSError:
            return 0.0

    def _beat_of(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}.beat")

    def _lock_of(self, name: str) -> Lock:
        return Lock(self._lock_path_of(name))

    def _lock_path_of(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}.lock")
