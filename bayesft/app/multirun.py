"""What a study of many trainings does besides them: it goes on after a failure, and reports."""

import logging
import shlex
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from bayesft.app.commands import searchpath
from bayesft.app.folder import is_one_of_many
from bayesft.app.publish import Report, publish
from bayesft.errors import BayesFTError, reason_of
from bayesft.folders import override
from bayesft.report import show
from bayesft.report.runs import FAILURE, Failure, write_failure

log = logging.getLogger(__name__)


class StudyReport(Callback, ABC):
    """The base of what reports on a multirun when it ends.

    A run that fails is written down in its folder and leaves the others alone. The
    program's exit status then tells that some have failed.
    """

    nodes: ClassVar[tuple[str, ...]]
    """The nodes of a run's config that say which of the study's it is."""

    @abstractmethod
    def report(self, folder: Path) -> Report:
        """Report on the runs in `folder`, and return what was written.

        Raises:
            BayesFTError: there is nothing to report on.
        """

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if not is_one_of_many(config.hydra):
            return
        folder = Path(config.hydra.runtime.output_dir)
        if job_return.status != JobStatus.FAILED:
            (folder / FAILURE).unlink(missing_ok=True)
            return
        reason = _raised_by(job_return)
        # What a person typed needs no traceback.
        told = isinstance(reason, CompactHydraException)
        log.error(
            "This run failed, and the study goes on: %s",
            reason_of(reason),
            exc_info=None if told else reason,
        )
        of = {node: OmegaConf.to_container(config[node], resolve=True) for node in self.nodes}
        write_failure(folder, Failure(of, config.seed, reason_of(reason)))
        # Hydra's sweeper raises what a job raised, when all have ended but before it
        # calls `on_multirun_end`: there would be no report.
        job_return.return_value = None
        job_return.status = JobStatus.COMPLETED

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        try:
            report = self.report(folder)
        except BayesFTError as error:
            show(str(error))
            missing, commands = True, None
        else:
            missing, commands = report.missing, report.commands
            publish(report, config, folder)
        if missing:
            own = config.hydra.overrides
            commands = [[*searchpath(own.hydra), *own.task]] if commands is None else commands
            into = override("hydra.sweep.dir", folder)
            lines = [shlex.join(["python", "train.py", "-m", *each, into]) for each in commands]
            show("", "This makes what is missing, in the same folder:", *(f"  {c}" for c in lines))
        if any(folder.rglob(FAILURE)):
            # Hydra makes a warning of any other exception of a callback.
            raise SystemExit(1)


def _raised_by(job: JobReturn) -> Exception:
    try:
        _ = job.return_value
    except Exception as error:
        return error
    raise AssertionError("a failed job raises")
