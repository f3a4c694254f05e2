"""The Hydra edge of the search: a shell that Hydra imports at the start of every app.

Everything heavy waits in `_sweep`, which is imported when a sweep begins.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class BayesFTSweeperConf:
    """The settings under `hydra.sweeper`."""

    _target_: str = "hydra_plugins.bayesft_sweeper.sweeper.BayesFTSweeper"
    # Trials in all, those of earlier runs on the same journal included.
    n_trials: int = 20
    # Trials before the Gaussian process takes over. If null, what the journal was begun with:
    # half of that run's n_trials, from 2 to 5.
    n_initial: int | None = None
    # Trials per batch of the launcher.
    n_jobs: int = 1
    # maximize or minimize what the task returns.
    direction: str = "maximize"
    # What the best trial must keep to, such as "clean_accuracy >= 0.97": limits on named
    # values that the task returns beside `value`.
    constraints: list[str] = field(default_factory=list)
    seed: int = 0
    # Stop when the best trial has been the best for so many trials since.
    patience: int | None = None
    # Stop when the next trial is expected to gain less than this, in units of the value.
    min_improvement: float | None = None
    # Whether trials behind the first ones take up the nearest finished one: the job gets
    # that one's folder as `warm_start.folder`, a key that the application has to have.
    warm_start: bool = False
    # The part of n_trials that may fail before the search gives up.
    max_failure_rate: float = 0.3
    # Seconds after which another process's trials are free if it gave no sign of life.
    heartbeat: float = 60.0
    # The journal's path; journal.jsonl in the sweep folder if null.
    storage: str | None = None
    # What to sweep, in Hydra's sweep grammar; the command line wins over it.
    params: dict[str, Any] = field(default_factory=dict)
    # Config keys that hold a vector, each with `names` (the dotted path of a function
    # from the composed config to the names of its elements), `low`, `high`, `start`, and
    # `least` and `below`, to which bounds that are typed have to keep.
    # By default the application's own top-level `vectors`, if it has them.
    vectors: Any = "${oc.select:vectors,null}"
    # The dotted path of a function from the composed config to the names of what the task
    # returns beside `value`, so that a constraint on another name is told before any job.
    # By default the application's own top-level `returns`, if it has it.
    returns: str | None = "${oc.select:returns,null}"


ConfigStore.instance().store(
    group="hydra/sweeper", name="bayesft", node=BayesFTSweeperConf, provider="bayesft"
)


class BayesFTSweeper(Sweeper):
    """Searches by Bayesian optimisation; see `BayesFTSweeperConf` for the settings."""

    def __init__(self, **settings: Any) -> None:
        known = {field.name for field in fields(BayesFTSweeperConf)}
        if unknown := sorted(set(settings) - known):
            raise HydraException(
                f"Expected under hydra.sweeper {', '.join(sorted(known - {'_target_'}))}, but got "
                f"{', '.join(unknown)}."
            )
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        from hydra_plugins.bayesft_sweeper._sweep import sweep

        return sweep(
            arguments,
            settings=self.settings,
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.config,
        )
