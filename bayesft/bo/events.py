"""What the lines of a journal say, and what the trials are after them.

Three events follow the study's first line: `ask` starts a trial (again), `tell`
finishes it, `fail` ends it without a value. Nothing here touches the file, which
is `journal`'s.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bayesft.bo.errors import JournalError, JournalWarning, TrialError
from bayesft.bo.trial import Trial

VERSION = 1


def encode_line(event: Mapping[str, Any]) -> bytes:
    """Return an event as one line of JSON; floats come back to the bit.

    Raises:
        JournalError: It holds nan, infinity, or something that JSON has no word for.
    """
    try:
        return (json.dumps(event, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise JournalError(
            f"Expected plain data with finite numbers, but got {event!r}: {error}."
        ) from error


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Return the event that a line holds, or None if it holds none."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def apply(event: Mapping[str, Any], trials: Mapping[int, Trial]) -> Trial:
    """Return the trial that an event is about, as it is after the event.

    Args:
        event: One event, not the study's first line.
        trials: The trials before it, by number.

    Raises:
        JournalError: The event cannot happen to those trials, or lacks a field.
    """
    try:
        kind, number = event["event"], event["number"]
        before = trials.get(number)
        if before is not None and before.state == "finished":
            raise JournalError(f"trial {number} is already finished")
        if kind == "ask":
            return _asked(event, before)
        if kind not in ("tell", "fail"):
            raise JournalError(f"expected the event ask, tell or fail, but got {kind!r}")
        if before is None:
            raise JournalError(f"trial {number} was never asked")
        names = ("seconds", "folder", "extra")
        outcome = {name: event[name] for name in names if event.get(name) is not None}
        if kind == "fail":
            repairable = bool(event.get("repairable"))
            reason = event["reason"]
            return replace(before, state="failed", reason=reason, repairable=repairable, **outcome)
        return replace(
            before,
            state="finished",
            value=event["value"],
            stderr=event.get("stderr"),
            reason=None,
            repairable=False,
            **outcome,
        )
    except KeyError as error:
        raise JournalError(f"expected the field {error} in the event") from error
    except (TrialError, TypeError, ValueError) as error:
        raise JournalError(str(error)) from error


def events_of(trial: Trial) -> list[dict[str, Any]]:
    """Return the events that make `trial` what it is: its `ask`, and how it ended."""
    asked = ask_event(
        trial.number,
        trial.params,
        job=trial.job,
        worker=trial.worker,
        started=trial.started,
        source=trial.source,
        progress=trial.progress,
    )
    events = [asked]
    ended = {"number": trial.number, "seconds": trial.seconds, "folder": trial.folder}
    ended["extra"] = trial.extra
    if trial.state == "finished":
        events.append({"event": "tell", "value": trial.value, "stderr": trial.stderr, **ended})
    if trial.state == "failed":
        events.append({"event": "fail", "reason": trial.reason, **ended})
        events[-1] |= repairable_field(trial.repairable)
    return events


def repairable_field(repairable: bool) -> dict[str, bool]:
    """Return the field of a failure that can be put right; other failures have none."""
    return {"repairable": True} if repairable else {}


def ask_event(
    number: int,
    params: Mapping[str, Any],
    *,
    job: int | None,
    worker: str | None,
    started: float | None,
    source: int | None,
    progress: float | None,
) -> dict[str, Any]:
    """Return the event that starts a trial; what only some trials have is left out of others."""
    optional = {"source": source, "progress": progress}
    return {
        "event": "ask", "number": number, "params": dict(params),
        "job": job, "worker": worker, "time": started,
        **{name: value for name, value in optional.items() if value is not None},
    }  # fmt: skip


def parse(data: bytes, path: Path) -> tuple[dict[str, Any], dict[int, Trial], int]:
    """Return what a journal holds: header, trials by number, length of its whole lines.

    Args:
        data: The whole file.
        path: Where it was read, for the messages.

    Warns:
        JournalWarning: The last line is incomplete and was left out.

    Raises:
        JournalError: An earlier line makes no sense, or the version is another.
    """
    *lines, tail = data.split(b"\n")
    complete = len(data) - len(tail)
    # After a power cut the last line can also be there in length alone.
    if not tail and len(lines) > 1 and decode_line(lines[-1]) is None:
        complete -= len(lines.pop()) + 1
    if not lines:
        raise JournalError(
            f"{path}: the first line is incomplete, so no trial was recorded yet. "
            "Delete the file and start again."
        )
    header = _parse_header(path, lines[0])
    trials: dict[int, Trial] = {}
    for index, line in enumerate(lines[1:], start=2):
        event = decode_line(line)
        if event is None:
            raise _corrupt(path, index, line, "expected one JSON object")
        try:
            trial = apply(event, trials)
        except JournalError as error:
            raise _corrupt(path, index, line, str(error)) from error
        trials[trial.number] = trial
    if complete < len(data):
        warnings.warn(
            f"{path}: the last line is incomplete; its {len(data) - complete} bytes "
            "were left out. If they said how a trial ended, it counts as running.",
            JournalWarning,
            stacklevel=3,
        )
    return header, trials, complete


def _parse_header(path: Path, line: bytes) -> dict[str, Any]:
    header = decode_line(line)
    if header is None or header.get("event") != "study":
        raise _corrupt(path, 1, line, "expected the study's description")
    if header.get("version") != VERSION:
        raise JournalError(
            f"{path}: the journal is of version {header.get('version')!r}, and this "
            f"BayesFT reads version {VERSION}. Use the BayesFT that wrote it, or a new folder."
        )
    return {name: header[name] for name in header if name not in ("event", "version")}


def _corrupt(path: Path, number: int, line: bytes, problem: str) -> JournalError:
    text = line.decode(errors="replace")
    remedy = "restore it from a copy"
    if number > 1:
        remedy += ", or delete that line, which loses that trial alone"
    return JournalError(
        f"{path}, line {number}: {problem}. There stands: "
        f"{text if len(text) <= 80 else text[:77] + '...'}\n{remedy.capitalize()}."
    )


def _asked(event: Mapping[str, Any], before: Trial | None) -> Trial:
    params = event["params"]
    # As text: True == 1 == 1.0 in Python and not in the search space.
    if before is not None and json.dumps(before.params) != json.dumps(params):
        raise JournalError(
            f"trial {before.number} was asked before with {before.params}, and now with {params}"
        )
    return Trial(
        number=event["number"],
        params=params,
        job=event.get("job"),
        source=event.get("source"),
        progress=event.get("progress"),
        worker=event.get("worker"),
        started=event.get("time"),
    )
