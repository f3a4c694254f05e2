"""The searches that `sweepers.py` compares, each as ask and tell over points."""

import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from sweeper_problems import Problem, named_bounds

from bayesft.bo import Optimizer, Real, Space, Trial


class Method(Protocol):
    """A search, as ask and tell over points."""

    def ask(self) -> list[float]: ...

    def tell(self, value: float) -> None: ...

    def recommend(self) -> int | None:
        """Return the number of the trial that it now calls the best; None: the best observed."""


class Ours:
    """`bayesft.bo.Optimizer`."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        space = space_of(problem)
        # The sweeper begins there where the application's config has no value of its own.
        middle = space.decode([0.5] * space.width)
        self.optimizer = Optimizer(space, direction="minimize", seed=seed, start=[middle])

    def ask(self) -> list[float]:
        [params] = self.optimizer.ask()
        return list(params.values())

    def tell(self, value: float) -> None:
        [trial] = self.optimizer.pending
        self.optimizer.tell(
            Trial(trial.number, trial.params, "finished", value, self.problem.stderr)
        )

    def recommend(self) -> int:
        return self.optimizer.best().number


class Random:
    """Uniform draws."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.luck = random.Random(f"random {seed}")

    def ask(self) -> list[float]:
        return [self.luck.uniform(*bounds) for bounds in self.problem.bounds]

    def tell(self, value: float) -> None:
        pass

    def recommend(self) -> None:
        return None


class Optuna:
    """A sampler of Optuna in a study of its own."""

    def __init__(self, problem: Problem, seed: int, *, sampler: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.problem = problem
        self.study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))

    def ask(self) -> list[float]:
        self.trial = self.study.ask()
        return [
            self.trial.suggest_float(name, *bounds) for name, bounds in named_bounds(self.problem)
        ]

    def tell(self, value: float) -> None:
        self.study.tell(self.trial, value)

    def recommend(self) -> int:
        return self.study.best_trial.number


class Ax:
    """Ax's client."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import ax.api.client
        import ax.api.configs

        for name in list(logging.root.manager.loggerDict):
            if name.split(".")[0] == "ax":
                logging.getLogger(name).setLevel(logging.ERROR)
        self.problem = problem
        self.client = ax.api.client.Client(random_seed=seed)
        self.client.configure_experiment(
            [
                ax.api.configs.RangeParameterConfig(
                    name=name, bounds=bounds, parameter_type="float"
                )
                for name, bounds in named_bounds(problem)
            ]
        )
        self.client.configure_optimization(objective="-loss")

    def ask(self) -> list[float]:
        [(self.number, params)] = self.client.get_next_trials(max_trials=1).items()
        return [params[name] for name, _ in named_bounds(self.problem)]

    def tell(self, value: float) -> None:
        stderr = self.problem.stderr
        data = {"loss": value if stderr is None else (value, stderr)}
        self.client.complete_trial(trial_index=self.number, raw_data=data)

    def recommend(self) -> int:
        return self.client.get_best_parameterization()[2]


METHODS: Mapping[str, Callable[[Problem, int], Method]] = {
    "ours": Ours,
    "optuna-gp": partial(Optuna, sampler="GPSampler"),
    "optuna-tpe": partial(Optuna, sampler="TPESampler"),
    "ax": Ax,
    "random": Random,
}
PEERS = ("optuna-gp", "optuna-tpe", "ax")
INSTALL = {"optuna-gp": "optuna", "optuna-tpe": "optuna", "ax": "ax-platform"}


def space_of(problem: Problem) -> Space:
    return Space({name: Real(*bounds) for name, bounds in named_bounds(problem)})
