"""A study: the journal, the optimiser that reads from it, and who else works on it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bayesft.bo import Constraint, Journal, Space, Trial, check_space
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.worker import Worker
from bayesft.report.recipe import difference
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._outcome import Outcome

log = logging.getLogger("bayesft.search")


@dataclass
class Study:
    """Trials on disk and in the optimiser, the same ones while it is `locked`.

    Several processes may work on one: each knows what the others run, and takes over
    what a dead one left.

    Attributes:
        journal: what was asked and told; the only state.
        optimizer: rebuilt from the journal.
        worker: this process.
    """

    journal: Journal
    optimizer: Optimizer
    worker: Worker

    @classmethod
    def load(
        cls,
        path: Path,
        space: Space,
        *,
        direction: str,
        n_initial: int,
        said: bool,
        seed: int,
        start: Sequence[dict[str, Any]],
        fixed: Sequence[str],
        constraints: Sequence[Constraint],
        heartbeat: float,
        recipe: Mapping[str, Any],
    ) -> "Study":
        """Go on with the journal at `path`, or begin one.

        Unless `n_initial` was said by the user, it is that of the run that began the journal:
        runs with other `n_trials` ask the Gaussian process from the same trial on.

        Raises:
            BayesFTError: a setting is wrong, or the journal is of another search.
        """
        make = partial(
            Optimizer, space, direction=direction, seed=seed, start=start, constraints=constraints
        )
        optimizer = make(n_initial=n_initial)
        study = {
            "space": space.to_json(), "direction": direction, "seed": seed, "n_initial": n_initial,
            "fixed": list(fixed), "recipe": dict(recipe),
        }  # fmt: skip
        journal = Journal(path)
        with journal.lock:
            if not journal.exists:
                journal.create(study)
            header, _ = journal.replay()
        check_space(header["space"], space)
        if header.get("direction") != direction:
            raise SweepError(
                f"hydra.sweeper.direction is {direction}, but the journal {path} was begun with "
                f"{header.get('direction')}. Use that, or another hydra.sweep.dir."
            )
        before = header.get("recipe")
        if before and recipe and (found := difference(recipe, before)):
            raise SweepError(
                f"The journal {path} is of a search with other settings, with which trials are "
                "worth something else:\n  " + "\n  ".join(found) + "\n(asked for, not what it was "
                "begun with). Give the settings that it has, or another hydra.sweep.dir."
            )
        if header.get("seed", seed) != seed:
            log.warning(
                "hydra.sweeper.seed=%d, but the journal %s was begun with %d: its trials stay, the "
                "next ones come from the new seed.", seed, path, header["seed"]
            )  # fmt: skip
        if (before := header.get("fixed", study["fixed"])) != study["fixed"]:
            log.warning(
                "This run has %s; the journal %s was begun with %s. If trials are worth something "
                "else with that, use another hydra.sweep.dir.",
                _listed(fixed), path, _listed(before),
            )  # fmt: skip
        if not said:
            optimizer = make(n_initial=header.get("n_initial", n_initial))
        return cls(journal, optimizer, Worker(path, heartbeat=heartbeat))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other processes out, with everything that they did known."""
        with self.journal.lock:
            known = {trial.number: trial for trial in self.trials}
            for trial in self.journal.replay()[1]:
                if trial != known.get(trial.number):
                    self.optimizer.tell(trial)
            yield

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.optimizer.trials

    def ended(self) -> list[Trial]:
        """Return the trials that finished or failed."""
        return [trial for trial in self.trials if trial.state != "running"]

    def left_over(self) -> list[Trial]:
        """Return the running trials whose process is dead."""
        dead = []
        for trial in self.optimizer.pending:
            if trial.worker is None or not self.worker.is_alive(trial.worker):
                dead.append(trial)
        return dead

    def repairable(self) -> list[Trial]:
        """Return the trials that failed for what can be put right."""
        return [trial for trial in self.trials if trial.repairable]

    def reopen(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return failed trials as left over by nobody, so that they run again. While locked.

        It is written down: the other processes wait for them, and one of them runs each.
        """
        # Whoever looks for what a job has left must not find what it left when it failed.
        job = self._next_job()
        opened = []
        for number, trial in enumerate(trials, start=job):
            again = self.journal.record_ask(
                trial.number, trial.params, job=number, source=trial.source
            )
            self.optimizer.tell(again)
            opened.append(again)
        return opened

    def _next_job(self) -> int:
        """Return a number that no job has had."""
        return max((t.job for t in self.trials if t.job is not None), default=-1) + 1

    def start(self, count: int, *, warm: bool = False) -> list[Trial]:
        """Return the next `count` trials, written down as running in new jobs. While locked.

        Trials whose process is dead come first, at the same point. If `warm`, those beyond
        the first ones, which are given or spread, take up the nearest finished trial.
        """
        self.worker.renew()
        left = self.left_over()[:count]
        fresh = self.optimizer.next_number
        # Their folders are fresh: no trial has used the number.
        job = self._next_job()
        params = self.optimizer.ask(count - len(left)) if len(left) < count else []
        points = [(trial.number, trial.params, trial.source) for trial in left]
        cold = max(self.optimizer.n_initial, len(self.optimizer.start))
        for number, point in enumerate(params, start=fresh):
            nearest = self.optimizer.nearest(point) if warm else None
            late = number >= cold and nearest is not None
            points.append((number, point, nearest.number if late else None))
        started = []
        for offset, (number, point, source) in enumerate(points):
            trial = self.journal.record_ask(
                number, point, job=job + offset, worker=self.worker.name, source=source
            )
            self.optimizer.tell(trial)
            started.append(trial)
        return started

    def finish(self, trial: Trial, outcome: Outcome, *, folder: str) -> Trial:
        """Write down what came of `trial` and return it as it is now.

        The first result counts, should another process have taken this one for dead.
        """
        with self.locked():
            now = next(each for each in self.trials if each.number == trial.number)
            if now.state == "finished":
                log.warning(
                    "Trial %d was taken over and finished in %s; what came of it in %s is left out",
                    trial.number, now.folder, folder,
                )  # fmt: skip
                return now
            ended = self._record(trial.number, outcome, folder)
            self.optimizer.tell(ended)
        return ended

    def _record(self, number: int, outcome: Outcome, folder: str) -> Trial:
        if outcome.value is None:
            return self.journal.record_fail(
                number,
                reason=outcome.reason or "the job left no outcome",
                seconds=outcome.seconds,
                folder=folder,
                extra=outcome.named,
                repairable=outcome.repairable,
            )
        return self.journal.record_tell(
            number,
            value=outcome.value,
            stderr=outcome.stderr,
            seconds=outcome.seconds,
            folder=folder,
            extra=outcome.named,
        )


def _listed(overrides: Sequence[str]) -> str:
    return " ".join(overrides) or "no overrides but those that are swept"
