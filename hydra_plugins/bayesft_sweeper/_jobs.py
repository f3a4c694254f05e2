"""The jobs of a batch, and what came of them."""

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from bayesft.bo import Trial
from bayesft.errors import reason_of
from hydra_plugins.bayesft_sweeper._outcome import Outcome, forget_outcome, outcome_of

log = logging.getLogger("bayesft.search")

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Job:
    """What runs a trial.

    Attributes:
        trial: the trial.
        number: of the job, which no other of the study has had.
        overrides: what the launcher is given.
        told: those of them that are for the task, as the job sees them.
        sweep: the folder of the sweep.
        subdir: where in it the job writes.
    """

    trial: Trial
    number: int
    overrides: tuple[str, ...]
    told: tuple[str, ...]
    sweep: Path
    subdir: str

    @property
    def folder(self) -> Path:
        return self.sweep / self.subdir

    def outcome(self, returned: JobReturn | None = None) -> Outcome | None:
        """Return what came of it; None if nothing is known."""
        return outcome_of(returned, self.folder, self.told)


@dataclass(frozen=True)
class Launched:
    """What came of a batch.

    Attributes:
        returns: what the launcher gave back.
        outcomes: one for each job; None for one that never ran.
        failure: why there are such; None if there are none.
    """

    returns: list[JobReturn]
    outcomes: list[Outcome | None]
    failure: Exception | None = None


def launch(launcher: Launcher, batch: Sequence[Job]) -> Launched:
    """Run a batch, whose numbers follow each other, and find what came of each job.

    A launcher may fail, by a killed worker, say: then the jobs that ended before have left
    their outcome, and the others have failed. But where it could not even make the jobs'
    folders, or the disk is full, it is no fault of their points: they never ran.
    """
    for job in batch:
        forget_outcome(job.folder)
    overrides = [list(job.overrides) for job in batch]
    try:
        returned = launcher.launch(overrides, initial_job_idx=batch[0].number)
    except Exception as error:
        log.warning("The launcher failed: %s", reason_of(error))
        outcomes = [job.outcome() for job in batch]
        if _is_no_room(error) or not any(job.folder.exists() for job in batch):
            return Launched([], outcomes, error)
        failed = Outcome(reason=f"the launcher failed: {reason_of(error)}")
        return Launched([], [outcome or failed for outcome in outcomes])
    missing = Outcome(reason="the job left no outcome")
    outcomes = [job.outcome(each) or missing for job, each in zip(batch, returned, strict=True)]
    return Launched(list(returned), outcomes)


def _is_no_room(error: BaseException | None) -> bool:
    """Whether a disk that takes nothing is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        error = error.__cause__
    return False
