"""A study: the journal and the optimiser that reads from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesft.bo import Journal, Space, Trial, check_space
from bayesft.bo.optimizer import Optimizer
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._outcome import Outcome


@dataclass
class Study:
    """Trials on disk and in the optimiser, always the same ones.

    Attributes:
        journal: what was asked and told; the only state.
        optimizer: rebuilt from the journal.
    """

    journal: Journal
    optimizer: Optimizer

    @classmethod
    def load(
        cls,
        path: Path,
        space: Space,
        *,
        direction: str,
        n_initial: int,
        seed: int,
        start: Sequence[dict[str, Any]],
    ) -> "Study":
        """Go on with the journal at `path`, or begin one.

        Raises:
            BayesFTError: a setting is wrong, or the journal is of another search.
        """
        settings = {"direction": direction, "n_initial": n_initial, "seed": seed, "start": start}
        optimizer = Optimizer(space, **settings)
        journal = Journal(path)
        if not journal.exists:
            journal.create({"space": space.to_json(), "direction": direction, "seed": seed})
            return cls(journal, optimizer)
        header, trials = journal.replay()
        check_space(header["space"], space)
        if header.get("direction") != direction:
            raise SweepError(
                f"hydra.sweeper.direction is {direction}, but the journal {path} was begun with "
                f"{header.get('direction')}. Use that, or another hydra.sweep.dir."
            )
        for trial in trials:
            optimizer.tell(trial)
        return cls(journal, optimizer)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.optimizer.trials

    def next_job(self) -> int:
        """Return the first job number that no trial has used: its folder is fresh."""
        return max((t.job for t in self.trials if t.job is not None), default=-1) + 1

    def start(self, count: int, *, job: int) -> list[Trial]:
        """Return the next `count` trials, written down as running in jobs from `job` on.

        Trials whose job was killed come first, at the same point.
        """
        left = [trial for trial in self.trials if trial.state == "running"][:count]
        fresh = self.optimizer.next_number
        params = self.optimizer.ask(count - len(left)) if len(left) < count else []
        points = [(trial.number, trial.params) for trial in left]
        points += [(fresh + i, point) for i, point in enumerate(params)]
        started = []
        for offset, (number, point) in enumerate(points):
            trial = self.journal.record_ask(number, point, job=job + offset)
            self.optimizer.tell(trial)
            started.append(trial)
        return started

    def finish(self, trial: Trial, outcome: Outcome, *, folder: str) -> Trial:
        """Write down what came of `trial` and return it as it is now."""
        if outcome.value is None:
            ended = self.journal.record_fail(
                trial.number,
                reason=outcome.reason or "the job left no outcome",
                seconds=outcome.seconds,
                folder=folder,
            )
        else:
            ended = self.journal.record_tell(
                trial.number,
                value=outcome.value,
                stderr=outcome.stderr,
                seconds=outcome.seconds,
                folder=folder,
            )
        self.optimizer.tell(ended)
        return ended
