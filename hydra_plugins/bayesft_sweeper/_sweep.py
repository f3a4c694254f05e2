"""The search itself, between Hydra's launcher and `bayesft.bo`."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from bayesft.bo import Space, Trial
from bayesft.errors import BayesFTError
from bayesft.folders import make_writable
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._grammar import Request, parse_request
from hydra_plugins.bayesft_sweeper._insight import look, tell
from hydra_plugins.bayesft_sweeper._outcome import Outcome, RecordedTask, outcome_of, reason_of
from hydra_plugins.bayesft_sweeper._stopping import Stopping
from hydra_plugins.bayesft_sweeper._study import Study
from hydra_plugins.bayesft_sweeper._told import RESULTS, short_point, trial_line, write_results
from hydra_plugins.bayesft_sweeper._vectors import Layout, lay_out

log = logging.getLogger("bayesft.search")

INTERRUPTED = 130


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
        SystemExit: Ctrl-C ended it, with the status that a shell expects.
    """
    try:
        search = Search(arguments, settings, hydra_context, task_function, config)
        return search.run()
    except BayesFTError as error:
        raise SweepError(str(error)) from error
    except (KeyboardInterrupt, SystemExit) as stop:
        # A job that catches Ctrl-C itself leaves with the same status.
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        log.warning(
            "Interrupted. The finished trials are kept; go on with hydra.sweep.dir=%s",
            config.hydra.sweep.dir,
        )
        raise SystemExit(INTERRUPTED) from None


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
        self.n_trials = _count(settings, "n_trials")
        self.n_jobs = _count(settings, "n_jobs")
        self.max_failure_rate = _rate(settings, "max_failure_rate")
        self.stopping = Stopping.from_settings(settings)
        self.stopped: str | None = None
        self.loader = hydra_context.config_loader
        self.config = config
        self.folder = Path(str(config.hydra.sweep.dir))
        parser = OverridesParser.create(config_loader=self.loader)
        params = OmegaConf.to_container(OmegaConf.create(settings["params"] or {}))
        self.request: Request = parse_request(arguments, params, parser)
        composed = self._compose(self.request.fixed)
        with open_dict(composed):
            composed.hydra.runtime.output_dir = str(self.folder)
        vectors = OmegaConf.to_container(OmegaConf.create(settings["vectors"] or {}))
        with _hydra_config(composed):
            self.layout: Layout = lay_out(self.request, vectors, composed)
            start = self.layout.start(composed)
        if start:
            # A key that does not exist is told before any job.
            self._compose([*self.request.fixed, *self.layout.overrides(start[0])])
        space = Space(self.layout.dimensions)
        storage = settings.get("storage")
        path = Path(storage) if storage else self.folder / "journal.jsonl"
        make_writable(self.folder, "hydra.sweep.dir")
        make_writable(path.parent, "hydra.sweeper.storage")
        self.study = Study.load(
            path,
            space,
            direction=settings["direction"],
            n_initial=settings["n_initial"],
            seed=settings["seed"],
            start=start,
        )
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=RecordedTask(task_function), config=config
        )

    def run(self) -> list[Sequence[JobReturn]]:
        """Run what is missing of `n_trials`, tell the best, and return the jobs."""
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        self._collect_left_over()
        ended = self._ended()
        if ended:
            log.info("Going on with %s: %d trials are done", self.study.journal.path, len(ended))
        returns: list[Sequence[JobReturn]] = []
        while (missing := self.n_trials - len(self._ended())) > 0:
            self.stopped = self.stopping.reason(self.study.optimizer)
            if self.stopped:
                log.info("Stopped after %d trials: %s", len(self._ended()), self.stopped)
                break
            returns.append(self._run_batch(min(self.n_jobs, missing)))
            self._check_failures()
        self._conclude()
        return returns

    def _run_batch(self, count: int) -> Sequence[JobReturn]:
        first_job = self.study.next_job()
        trials = self.study.start(count, job=first_job)
        batch = [[*self.request.fixed, *self.layout.overrides(t.params)] for t in trials]
        folders = [self._folder_of(overrides, first_job + i) for i, overrides in enumerate(batch)]
        jobs: Sequence[JobReturn | None]
        try:
            jobs = self.launcher.launch(batch, initial_job_idx=first_job)
            fallback = "the job left no outcome"
        except Exception as error:
            # A killed worker, say. The jobs that ended before it have left their outcome.
            log.warning("The launcher failed: %s", reason_of(error))
            jobs, fallback = [None] * len(trials), f"the launcher failed: {reason_of(error)}"
        for trial, job, folder in zip(trials, jobs, folders, strict=True):
            outcome = outcome_of(job, self.folder / folder) or Outcome(reason=fallback)
            self._finish(trial, outcome, folder)
        return [job for job in jobs if job is not None]

    def _finish(self, trial: Trial, outcome: Outcome, folder: str) -> None:
        ended = self.study.finish(trial, outcome, folder=folder)
        line = trial_line(ended, self.study.optimizer.best(), self.layout, self._seconds_left())
        log.log(logging.WARNING if ended.state == "failed" else logging.INFO, line)

    def _collect_left_over(self) -> None:
        """Take in the outcomes of jobs that ended while nobody listened."""
        for trial in self.study.optimizer.pending:
            overrides = [*self.request.fixed, *self.layout.overrides(trial.params)]
            folder = self._folder_of(overrides, trial.job or 0)
            outcome = outcome_of(None, self.folder / folder)
            if outcome is not None:
                self._finish(trial, outcome, folder)

    def _ended(self) -> list[Trial]:
        return [trial for trial in self.study.trials if trial.state != "running"]

    def _seconds_left(self) -> float | None:
        times = [trial.seconds for trial in self._ended() if trial.seconds is not None]
        missing = max(0, self.n_trials - len(self._ended()))
        return sum(times) / len(times) * missing / self.n_jobs if times else None

    def _check_failures(self) -> None:
        failed = [trial for trial in self.study.trials if trial.state == "failed"]
        if len(failed) > self.max_failure_rate * self.n_trials:
            write_results(self.folder, self._ended(), self.study.optimizer.best(), self.layout)
            raise SweepError(
                f"{len(failed)} of {self.n_trials} trials failed, more than "
                f"hydra.sweeper.max_failure_rate={self.max_failure_rate:g} allows. The last one, "
                f"{short_point(failed[-1].params, self.layout)}, failed with {failed[-1].reason}. "
                f"Its log is in {self.folder / (failed[-1].folder or '')}."
            )

    def _conclude(self) -> None:
        best = self.study.optimizer.best()
        insight, learnt = look(self.study.optimizer)
        write_results(
            self.folder, self._ended(), best, self.layout, stopped=self.stopped, insight=learnt
        )
        if best is None:
            raise SweepError(
                f"No trial gave a value; see {self.study.journal.path} for the reasons."
            )
        error = "" if best.stderr is None else f" ± {best.stderr:.4f}"
        if insight is not None:
            tell(insight, self.folder)
        log.info("Best: trial %d, %.4f%s", best.number, best.value, error)
        log.info("Results: %s", self.folder / RESULTS)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of a job; raises Hydra's own error if it cannot be composed."""
        return self.loader.load_sweep_config(self.config, list(overrides))

    def _folder_of(self, overrides: Sequence[str], job: int) -> str:
        config = self._compose(overrides)
        with open_dict(config):
            config.hydra.job.id = job
            config.hydra.job.num = job
        return str(config.hydra.sweep.subdir)


@contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """Let `config` resolve what it says of Hydra (`${hydra:...}`), as inside a job."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before


def _count(settings: Mapping[str, Any], name: str) -> int:
    value = settings[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SweepError(
            f"Expected hydra.sweeper.{name} to be an integer of at least 1, but got {value!r}."
        )
    return value


def _rate(settings: Mapping[str, Any], name: str) -> float:
    value = settings[name]
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise SweepError(f"Expected hydra.sweeper.{name} to be in [0, 1], but got {value!r}.")
    return float(value)
