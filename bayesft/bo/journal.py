"""The journal: an append-only file of JSON lines, and the only state of a study.

The first line describes the study; each later one is an event of `events`. A
line is one `write` to a file opened for appending, followed by `fsync`, so a
result that was told survives a crash of the next instant, and reading the file
again (`replay`) is all that resuming takes. What a crash can leave is half a
last line; a reader leaves it out with a warning, and the next append removes it.
"""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bayesft.bo.errors import JournalError, SpaceError
from bayesft.bo.events import (
    VERSION,
    apply,
    ask_event,
    encode_line,
    events_of,
    parse,
    repairable_field,
)
from bayesft.bo.space import Space
from bayesft.bo.trial import Trial
from bayesft.folders import at_once
from bayesft.locks import Lock

JOURNAL = "journal.jsonl"
"""The file's name in a search's folder, unless another is given."""


class Journal:
    """One study's file.

    Example:
        >>> journal = Journal(tmp_path / "journal.jsonl")
        >>> journal.create({"space": space.to_json(), "direction": "maximize", "seed": 0})
        >>> journal.record_ask(0, {"rate": 0.2}).state
        'running'
        >>> journal.record_tell(0, value=0.9, stderr=0.01).value
        0.9
        >>> header, trials = journal.replay()

    Attributes:
        lock: A context that keeps other processes from writing, as each `record_...`
            does for itself; longer where what is written follows from what was read.
            It can be entered again by who holds it. Where the file system has no
            locks, a journal can have one writer.

    Args:
        path: The file; nothing is opened or made yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        # Without it a line that another process is just writing would look torn, and be
        # cut off.
        self.lock = Lock(f"{self.path}.lock")

    @property
    def exists(self) -> bool:
        """Whether there is a file to replay."""
        return self.path.exists()

    def create(self, header: Mapping[str, Any]) -> None:
        """Write the first line; the folder must be there, the file must not.

        Where several processes may begin one, call it with `lock`.

        Args:
            header: What the study is: plain data, at least what is needed to
                tell whether a later run means the same study.

        Raises:
            JournalError: The file is there already or cannot be written.
        """
        line = encode_line({"event": "study", "version": VERSION, **header})
        if self.path.exists():
            raise JournalError(
                f"{self.path}: there is a file already. Replay it, or choose another path."
            )
        try:
            # Half a first line would be no study, and in the way of the next try.
            with at_once(self.path) as temporary, open(temporary, "wb") as file:
                _synced(file, line)
        except OSError as error:
            raise self._cannot("create", error) from error
        self._sync_folder()

    def replay(self) -> tuple[dict[str, Any], tuple[Trial, ...]]:
        """Return the first line's fields and the trials, by number. Writes nothing.

        Warns:
            JournalWarning: The last line is incomplete and was left out.

        Raises:
            JournalError: The file cannot be read, is of another version, or has
                a line before the last that makes no sense.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise self._cannot("read", error) from error
        header, trials, _ = parse(data, self.path)
        return header, tuple(trials[number] for number in sorted(trials))

    def record_ask(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        job: int | None = None,
        worker: str | None = None,
        started: float | None = None,
        source: int | None = None,
        progress: float | None = None,
    ) -> Trial:
        """Append that a trial starts, for the first time or again after a failure.

        Args:
            number: The trial's place in the study.
            params: Its point; the same one if the trial is run again.
            job: Number of the job that runs it.
            worker: Name of the process that has it run.
            started: In seconds since 1970; now, if not given.
            source: Number of the trial that it takes up.
            progress: How far the training that the trials share will have come.

        Raises:
            JournalError: The trial is finished, was asked with another point, or
                the file cannot be written; then the file is as it was.
        """
        started = time.time() if started is None else started
        event = ask_event(
            number,
            params,
            job=job,
            worker=worker,
            started=started,
            source=source,
            progress=progress,
        )
        return self._append(event)

    def record_tell(
        self,
        number: int,
        *,
        value: float,
        stderr: float | None = None,
        seconds: float | None = None,
        folder: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Append a trial's result and return the finished trial.

        Raises:
            JournalError: The trial was never asked or is finished, the value is
                not finite, or the file cannot be written.
        """
        return self._append({
            "event": "tell", "number": number, "value": _plain(value), "stderr": _plain(stderr),
            "seconds": _plain(seconds), "folder": folder, "extra": dict(extra or {}),
        })  # fmt: skip

    def record_fail(
        self,
        number: int,
        *,
        reason: str,
        seconds: float | None = None,
        folder: str | None = None,
        extra: Mapping[str, Any] | None = None,
        repairable: bool = False,
    ) -> Trial:
        """Append that a trial ended without a value, and return it.

        If `repairable`, the reason can be put right, and the trial be asked again.

        Raises:
            JournalError: As for `record_tell`.
        """
        return self._append({
            "event": "fail", "number": number, "reason": reason,
            "seconds": _plain(seconds), "folder": folder, "extra": dict(extra or {}),
            **repairable_field(repairable),
        })  # fmt: skip

    def _append(self, event: dict[str, Any]) -> Trial:
        line = encode_line(event)
        try:
            with self.lock:
                descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
                try:
                    return self._append_to(descriptor, event, line)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise self._cannot("write", error) from error

    def _append_to(self, descriptor: int, event: dict[str, Any], line: bytes) -> Trial:
        data = _read_all(descriptor)
        _, trials, complete = parse(data, self.path)
        try:
            trial = apply(event, trials)
        except JournalError as error:
            raise JournalError(f"{self.path}: {error}.") from error
        if complete < len(data):
            os.ftruncate(descriptor, complete)
        self._write(descriptor, line)
        return trial

    def _write(self, descriptor: int, line: bytes) -> None:
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes were written; is it full?")
            os.fsync(descriptor)
        except OSError as error:
            # Whatever was written must not stay: the caller takes it as not recorded.
            try:
                os.ftruncate(descriptor, before)
            except OSError as second:
                raise self._cannot("write", second) from error
            raise self._cannot("write", error) from error

    def _sync_folder(self) -> None:
        if os.name == "nt":  # there a folder cannot be opened
            return
        try:
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise self._cannot("create", error) from error
        try:
            os.fsync(folder)
        except OSError as error:
            raise self._cannot("create", error) from error
        finally:
            os.close(folder)

    def _cannot(self, verb: str, error: OSError) -> JournalError:
        return JournalError(
            f"{self.path}: cannot {verb} the journal: {error.strerror or error}. "
            "Check the path, its permissions and the space left on the disk."
        )


def write_journal(
    path: str | os.PathLike[str], header: Mapping[str, Any], trials: Iterable[Trial]
) -> None:
    """Put a journal of `trials` in the place of what is at `path`, all at once.

    For a search whose state lies elsewhere, in a checkpoint say: its journal can be ahead of
    the checkpoint that it goes on from.

    Raises:
        JournalError: The file cannot be written; the one that was there is as it was.
    """
    lines = [encode_line({"event": "study", "version": VERSION, **header})]
    lines += [encode_line(event) for trial in trials for event in events_of(trial)]
    path = Path(path)
    try:
        with at_once(path) as temporary, open(temporary, "wb") as file:
            _synced(file, *lines)
    except OSError as error:
        raise Journal(path)._cannot("write", error) from error


def check_space(recorded: Mapping[str, Any] | Space, space: Space) -> None:
    """Refuse to go on with a study whose space is another.

    Args:
        recorded: The space in the journal's first line, as `Space.to_json` wrote it.
        space: The space of this run.

    Raises:
        JournalError: They differ; the message says where.
    """
    try:
        there = recorded if isinstance(recorded, Space) else Space.from_json(recorded)
    except SpaceError as error:
        raise JournalError(f"The journal's search space cannot be read: {error}") from error
    lines = space.difference(there)
    if lines:
        raise JournalError(
            "The journal was written for another search space:\n  "
            + "\n  ".join(lines)
            + "\nStart in a new sweep folder, or go back to the journal's space."
        )


def _plain(number: Any) -> float | None:
    """Return NumPy's and torch's scalars as the floats that JSON can hold."""
    try:
        return None if number is None else float(number)
    except (TypeError, ValueError) as error:
        raise JournalError(f"Expected a number, but got {number!r}.") from error


def _read_all(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _synced(file: BinaryIO, *lines: bytes) -> None:
    file.writelines(lines)
    file.flush()
    os.fsync(file.fileno())
