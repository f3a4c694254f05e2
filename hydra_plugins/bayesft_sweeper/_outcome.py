"""What a job leaves behind, so that its result outlives whatever happens after it.

A launcher gives results back when a whole batch is done, and nothing if it
fails. Each job therefore writes its own outcome into its folder when it ends.
"""

import json
import logging
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from bayesft.errors import BayesFTError, reason_of
from bayesft.folders import at_once

log = logging.getLogger("bayesft.search")

FILE = "outcome.json"

# The exit statuses of a process that a signal ended: 128, and the signal's number.
SIGNALLED = range(128 + 1, 128 + 64 + 1)


@dataclass(frozen=True)
class Outcome:
    """A job's value, or the reason why there is none.

    Attributes:
        named: what else was measured, by name: [mean, standard error or None] each,
            None for what was no finite number.
        repairable: whether the reason can be put right by the user, so that the job may yet
            give a value.
        overrides: what the job was told to do, by which its outcome is known from that of
            another job in the same folder.
    """

    value: float | None = None
    stderr: float | None = None
    reason: str | None = None
    seconds: float | None = None
    named: dict[str, list[float | None] | None] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    repairable: bool = False


class RecordedTask:
    """The user's task function; what comes of it is written down where it ran."""

    def __init__(self, task_function: Callable[[DictConfig], Any]) -> None:
        self.task_function = task_function

    def __call__(self, cfg: DictConfig) -> Any:
        started = time.monotonic()
        try:
            result = self._run(cfg)
        except Exception as error:
            reason = reason_of(error)
            # Hydra tells of an exception when it is asked for the result, and a sweep does not.
            # What is meant to be read as one line comes as one.
            plain = isinstance(error, CompactHydraException)
            log.error("This trial failed: %s", reason, exc_info=None if plain else error)
            seconds = time.monotonic() - started
            _write(Outcome(reason=reason, seconds=seconds, repairable=_is_repairable(error)))
            if not _can_be_pickled(error):
                # It would fail on its way back to the launcher, and take the batch with it.
                raise RuntimeError(reason) from error
            raise
        _write(read_result(result, seconds=time.monotonic() - started))
        return result

    def _run(self, cfg: DictConfig) -> Any:
        try:
            return self.task_function(cfg)
        except SystemExit as stop:
            # Ended by a signal, as Ctrl-C: the search ends too, and the trial runs again.
            if stop.code in SIGNALLED:
                raise
            raise RuntimeError(f"the task called sys.exit({stop.code!r})") from stop


def read_result(result: Any, *, seconds: float | None = None) -> Outcome:
    """Read what a task returned.

    That is a number, (mean, standard error), or a mapping with either of them as
    `value` and whatever else was measured under names of its own.
    """
    value, named = result, {}
    if isinstance(result, Mapping) and "value" in result:
        named = {str(name): _pair(each) for name, each in result.items() if name != "value"}
        value = result["value"]
    pair = _pair(value)
    if pair is None:
        reason = (
            "expected a finite number, (mean, standard error), or a mapping with either as "
            f"`value`, but the task gave {result!r}"
        )
        return Outcome(reason=reason, seconds=seconds, named=named)
    return Outcome(value=pair[0], stderr=pair[1], seconds=seconds, named=named)


def _pair(value: Any) -> list[float | None] | None:
    """Return a mean and its standard error, None if it is not known; or None for no number."""
    stderr = None
    if isinstance(value, (tuple, list)) and len(value) == 2:
        value, stderr = value
    number, error = _number(value), _number(stderr)
    if number is None:
        return None
    return [number, None if error is None or error < 0 else error]


def outcome_of(job: JobReturn | None, folder: Path, overrides: Sequence[str]) -> Outcome | None:
    """Return a job's outcome: from its folder, else from what the launcher gave back.

    One in the folder counts if it is of a job with the same overrides.
    """
    try:
        outcome = Outcome(**json.loads((folder / FILE).read_text(encoding="utf-8")))
        if outcome.overrides == list(overrides):
            return outcome
    except (OSError, ValueError, TypeError):
        # Nothing there, or half of it: the job did not get that far, or writes elsewhere.
        pass
    if job is None:
        return None
    if job.status is JobStatus.COMPLETED:
        return read_result(job.return_value)
    error = job._return_value
    return Outcome(reason=reason_of(error), repairable=_is_repairable(error))


def forget_outcome(folder: Path) -> None:
    """Remove what an earlier job left in a folder that is to be used again."""
    (folder / FILE).unlink(missing_ok=True)


def _is_repairable(error: BaseException) -> bool:
    """Whether an error is of a kind that tells a person of a mistake in a setting or a file."""
    return isinstance(error, (BayesFTError, CompactHydraException))


def _can_be_pickled(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return None
    try:
        number = float(value) if isinstance(value, Real) else float(value.item())
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def _write(outcome: Outcome) -> None:
    hydra = HydraConfig.get()
    outcome = replace(outcome, overrides=list(hydra.overrides.task))
    folder = Path(hydra.runtime.output_dir)
    try:
        with at_once(folder / FILE) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(asdict(outcome), file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # A full disk, say. The launcher still gives back what the task returned.
        log.warning("The outcome could not be written to %s: %s", folder / FILE, error)
