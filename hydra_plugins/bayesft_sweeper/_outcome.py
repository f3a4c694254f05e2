"""What a job leaves behind, so that its result outlives whatever happens after it.

A launcher gives results back when a whole batch is done, and nothing if it
fails. Each job therefore writes its own outcome into its folder when it ends.
"""

import json
import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

FILE = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """A job's value, or the reason why there is none."""

    value: float | None = None
    stderr: float | None = None
    reason: str | None = None
    seconds: float | None = None


class RecordedTask:
    """The user's task function; what comes of it is written down where it ran."""

    def __init__(self, task_function: Callable[[DictConfig], Any]) -> None:
        self.task_function = task_function

    def __call__(self, cfg: DictConfig) -> Any:
        started = time.monotonic()
        try:
            result = self.task_function(cfg)
        except Exception as error:
            reason = reason_of(error)
            _write(Outcome(reason=reason, seconds=time.monotonic() - started))
            if not _can_be_pickled(error):
                # It would fail on its way back to the launcher, and take the batch with it.
                raise RuntimeError(reason) from error
            raise
        _write(read_result(result, seconds=time.monotonic() - started))
        return result


def read_result(result: Any, *, seconds: float | None = None) -> Outcome:
    """Read what a task returned: a number, or (mean, standard error)."""
    value, stderr = result, None
    if isinstance(result, (tuple, list)) and len(result) == 2:
        value, stderr = result
    number, error = _number(value), _number(stderr)
    if number is None:
        reason = f"expected a finite number or (mean, standard error), but the task gave {result!r}"
        return Outcome(reason=reason, seconds=seconds)
    if stderr is not None and (error is None or error < 0):
        error = None
    return Outcome(value=number, stderr=error, seconds=seconds)


def outcome_of(job: JobReturn | None, folder: Path) -> Outcome | None:
    """Return a job's outcome: from its folder, else from what the launcher gave back."""
    try:
        return Outcome(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        # Nothing there, or half of it: the job did not get that far, or writes elsewhere.
        pass
    if job is None:
        return None
    if job.status is JobStatus.COMPLETED:
        return read_result(job.return_value)
    return Outcome(reason=reason_of(job._return_value))


def reason_of(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
    folder = Path(HydraConfig.get().runtime.output_dir)
    temporary = folder / f".{FILE}.{os.getpid()}"
    with open(temporary, "w") as file:
        json.dump(asdict(outcome), file)
        file.flush()
        os.fsync(file.fileno())
    # At once or not at all: a reader never sees half an outcome.
    os.replace(temporary, folder / FILE)
