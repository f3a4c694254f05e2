"""The search itself, between Hydra's launcher and `bayesft.bo`."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from bayesft.bo import JOURNAL, Constraint, Space, Trial
from bayesft.errors import INTERRUPTED, BayesFTError, reason_of
from bayesft.folders import make_writable, typed
from bayesft.report.learnt import look, tell
from bayesft.report.results import RESULTS, write_results
from bayesft.report.tables import short_number
from hydra_plugins.bayesft_sweeper._configs import Configs
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._failures import repairable_line, too_many_failures
from hydra_plugins.bayesft_sweeper._jobs import Job, launch
from hydra_plugins.bayesft_sweeper._outcome import Outcome, RecordedTask, forget_outcome
from hydra_plugins.bayesft_sweeper._settings import count, direction, initial, rate, seconds
from hydra_plugins.bayesft_sweeper._stopping import Stopping
from hydra_plugins.bayesft_sweeper._study import Study
from hydra_plugins.bayesft_sweeper._told import (
    best_params,
    luckier_line,
    trial_line,
    violation_of,
    warm_start_line,
)

log = logging.getLogger("bayesft.search")

# Seconds between looks at what the other processes do.
_LOOK = 0.5


def sweep(
    arguments: Sequence[str],
    *,
    settings: Mapping[str, Any],
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> list[Sequence[JobReturn]]:
    """Run a search, or go on with the one in the sweep folder.

    Returns:
        What the launcher returned for each batch of this run.

    Raises:
        SweepError: what was asked for cannot be searched; nothing has run then.
        SystemExit: Ctrl-C or another signal ended it, with the status that a shell expects.
    """
    try:
        search = Search(arguments, settings, hydra_context, task_function, config)
        return search.run()
    except BayesFTError as error:
        raise SweepError(str(error)) from error
    except OSError as error:
        # A full disk, say, which no job has caught.
        raise SweepError(
            f"{reason_of(error)}. The finished trials are kept; once that is put right, go on with "
            f"{typed('hydra.sweep.dir', config.hydra.sweep.dir)}"
        ) from error
    except (KeyboardInterrupt, SystemExit) as stop:
        # A job that catches a signal itself leaves with a status of its own.
        status = stop.code if isinstance(stop, SystemExit) else INTERRUPTED
        log.warning(
            "%s The finished trials are kept; go on with %s",
            "Interrupted." if status == INTERRUPTED else f"Ended with status {status}.",
            typed("hydra.sweep.dir", config.hydra.sweep.dir),
        )
        raise SystemExit(status) from None


class Search:
    """One run of a search. `settings` are those of `BayesFTSweeperConf`."""

    def __init__(
        self,
        arguments: Sequence[str],
        settings: Mapping[str, Any],
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.n_trials = count(settings, "n_trials")
        self.n_jobs = count(settings, "n_jobs")
        self.max_failure_rate = rate(settings, "max_failure_rate")
        self.warm_start = settings["warm_start"]
        self.stopping = Stopping.from_settings(settings)
        self.stopped: str | None = None
        self.constraints = [Constraint.parse(text) for text in settings.get("constraints") or []]
        self.config = config
        self.configs = Configs(arguments, settings, hydra_context.config_loader, config)
        known = self.configs.returned
        if unknown := [each.name for each in self.constraints if known and each.name not in known]:
            raise SweepError(
                f"hydra.sweeper.constraints: no trial returns {unknown[0]!r}. Expected one of "
                f"{', '.join(known)}."
            )
        self.folder = self.configs.folder
        self.layout = self.configs.layout
        self.study = self._load_study(settings)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=RecordedTask(task_function), config=config
        )

    def _load_study(self, settings: Mapping[str, Any]) -> Study:
        space = Space(self.layout.dimensions)
        storage = settings.get("storage")
        path = Path(storage) if storage else self.folder / JOURNAL
        make_writable(self.folder, "hydra.sweep.dir")
        make_writable(path.parent, "hydra.sweeper.storage", "<file>")
        return Study.load(
            path,
            space,
            direction=direction(settings),
            n_initial=initial(settings),
            said=settings["n_initial"] is not None,
            seed=settings["seed"],
            start=self.configs.start,
            fixed=self.configs.request.fixed,
            constraints=self.constraints,
            heartbeat=seconds(settings, "heartbeat"),
            recipe=self.configs.recipe,
        )

    def run(self) -> list[Sequence[JobReturn]]:
        """Run what is missing of `n_trials`, tell the best, and return the jobs."""
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        returns: list[Sequence[JobReturn]] = []
        with self.study.worker:
            with self.study.locked():
                self._check_constraints()
                self._collect_left_over()
                again = self._try_again()
                if ended := self.study.ended():
                    path = self.study.journal.path
                    log.info("Going on with %s: %d trials are done", path, len(ended))
                if again:
                    numbers = ", ".join(f"trial {trial.number}" for trial in again)
                    log.info("Running again what may have been put right: %s", numbers)
                if not self._is_done():
                    self._check_failures()
            self._warn_if_never_asked()
            waits = False
            while not self._is_done():
                trials = self._begin()
                if trials:
                    returns.append(self._run_batch(trials))
                    self._check_failures()
                elif not self._is_done():
                    if not waits:
                        log.info("Other processes run the last trials; waiting for them")
                    waits = True
                    time.sleep(_LOOK)
            self._conclude()
        return returns

    def _warn_if_never_asked(self) -> None:
        """Say so where the Gaussian process will be asked for no trial."""
        ended = len(self.study.ended())
        if self.n_trials <= 2 or ended >= self.n_trials:
            return
        optimizer = self.study.optimizer
        spread = max(optimizer.n_initial, len(optimizer.start))
        if spread >= self.n_trials:
            log.warning(
                "hydra.sweeper.n_trials=%d: the first %d are spread over the space "
                "(hydra.sweeper.n_initial), so no trial is left for the Gaussian process.",
                self.n_trials, spread
            )  # fmt: skip
        elif not ended and self.n_jobs >= self.n_trials:
            log.warning(
                "hydra.sweeper.n_trials=%d: hydra.sweeper.n_jobs=%d begins all before one has "
                "ended, so all are spread over the space, without the Gaussian process.",
                self.n_trials, self.n_jobs
            )  # fmt: skip

    def _is_done(self) -> bool:
        return self.stopped is not None or len(self.study.ended()) >= self.n_trials

    def _begin(self) -> list[Trial]:
        """Return the trials to run next, written down as running; none if there are none."""
        with self.study.locked():
            self._collect_left_over()
            if self._is_done():
                return []
            # What runs again was asked for before there was a reason to stop.
            if all(trial.worker is not None for trial in self.study.left_over()):
                self.stopped = self.stopping.reason(self.study.optimizer)
            if self.stopped:
                log.info("Stopped after %d trials: %s", len(self.study.ended()), self.stopped)
                return []
            elsewhere = len(self.study.optimizer.pending) - len(self.study.left_over())
            missing = self.n_trials - len(self.study.ended()) - elsewhere
            if missing <= 0:
                return []
            return self.study.start(min(self.n_jobs, missing), warm=self.warm_start)

    def _run_batch(self, trials: Sequence[Trial]) -> list[JobReturn]:
        jobs = []
        for trial in trials:
            try:
                jobs.append(self._job(trial))
            except HydraException as error:
                # Two choices that do not go together.
                self._finish(trial, Outcome(reason=reason_of(error)), None)
        # A launcher numbers the jobs of a batch one after the other.
        batches = [jobs] if len(jobs) == len(trials) else [[job] for job in jobs]
        return [job for batch in batches for job in self._launch(batch)]

    def _launch(self, batch: Sequence[Job]) -> list[JobReturn]:
        launched = launch(self.launcher, batch)
        for job, outcome in zip(batch, launched.outcomes, strict=True):
            if outcome is not None:
                self._finish(job.trial, outcome, job.subdir)
        if launched.failure is not None:
            raise SweepError(
                f"The launcher could not run the jobs: {reason_of(launched.failure)}. The finished "
                "trials are kept, and the others run again; once that is put right, go on with "
                f"{typed('hydra.sweep.dir', self.folder)}"
            ) from launched.failure
        return launched.returns

    def _finish(self, trial: Trial, outcome: Outcome, folder: str | None) -> None:
        if folder is not None and self.study.journal.path.parent.resolve() != self.folder.resolve():
            # The journal may serve sweeps in other folders.
            folder = str((self.folder / folder).absolute())
        ended = self.study.finish(trial, outcome, folder=folder)
        self._check_constraints()
        best = self.study.optimizer.best()
        line = trial_line(ended, best, self.layout, self._seconds_left(), self.constraints)
        log.log(logging.WARNING if ended.state == "failed" else logging.INFO, line)

    def _collect_left_over(self) -> None:
        """Take in the outcomes of jobs that ended while nobody listened."""
        for trial in self.study.left_over():
            try:
                job = self._job(trial)
            except HydraException:
                continue  # Told when it is run again.
            outcome = job.outcome()
            if outcome is not None:
                self._finish(trial, outcome, job.subdir)

    def _try_again(self) -> list[Trial]:
        """Open the trials again that failed for what may have been put right since; return them.

        Only when a search starts: while it runs, a mistake stays what it is.
        """
        failed = self.study.repairable()
        others = len(self.study.ended()) - len(failed)
        opened = self.study.reopen(failed[: max(0, self.n_trials - others)])
        for trial in opened:
            with contextlib.suppress(HydraException):  # Told when it is run.
                # All jobs may have one folder.
                forget_outcome(self._job(trial).folder)
        return opened

    def _seconds_left(self) -> float | None:
        times = [each.seconds for each in self.study.ended() if each.seconds is not None]
        missing = max(0, self.n_trials - len(self.study.ended()))
        at_once = max(self.n_jobs, len(self.study.optimizer.pending))
        return sum(times) / len(times) * missing / at_once if times else None

    def _check_constraints(self) -> None:
        """Refuse to go on if a finished trial did not return what is limited."""
        for trial in self.study.ended():
            try:
                for constraint in self.constraints if trial.state == "finished" else ():
                    constraint.measured(trial.extra)
            except BayesFTError as error:
                raise SweepError(
                    f"hydra.sweeper.constraints: trial {trial.number}: {error} Let the task return "
                    "a mapping with `value` and that name, or leave the constraint out."
                ) from error

    def _check_failures(self) -> None:
        told = too_many_failures(
            self.study.trials, self.n_trials, self.max_failure_rate, self.layout, self.folder
        )
        if told is not None:
            self._write_results()
            raise SweepError(told)

    def _conclude(self) -> None:
        with self.study.locked():
            self.study.worker.bury()
            insight, learnt = look(self.study.optimizer)
            best = self._write_results(learnt)
        if best is None:
            raise SweepError(
                f"No trial gave a value; see {self.study.journal.path} for the reasons."
            )
        error = "" if best.stderr is None else f" ± {short_number(best.stderr)}"
        if insight is not None:
            tell(insight, self.folder)
        if saved := warm_start_line(self.study.ended()):
            log.info("%s", saved)
        log.info("Best: trial %d, %s%s", best.number, short_number(best.value), error)
        if lucky := self._luckier(best):
            log.info("%s", lucky)
        missed = [text for each in self.constraints if (text := violation_of(best, each))]
        if missed:
            limits = " and ".join(map(str, self.constraints))
            log.warning("No trial keeps to %s; of the best one it is %s", limits, ", ".join(missed))
        if repairable := repairable_line(self.study.trials, self.folder):
            log.warning("%s", repairable)
        log.info("Results: %s", self.folder / RESULTS)

    def _luckier(self, best: Trial) -> str | None:
        minimize = self.study.optimizer.direction == "minimize"
        return luckier_line(best, self.study.ended(), self.constraints, minimize=minimize)

    def _write_results(self, learnt: dict[str, Any] | None = None) -> Trial | None:
        best = self.study.optimizer.best()
        write_results(
            self.folder,
            self.study.ended(),
            best,
            None if best is None else best_params(best.params, self.layout),
            constraints=self.constraints,
            stopped=self.stopped,
            insight=learnt,
        )
        return best

    def _job(self, trial: Trial) -> Job:
        source = next((each for each in self.study.trials if each.number == trial.source), None)
        return self.configs.job(trial, source)
