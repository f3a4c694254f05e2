"""How far from the optimum searches end: the sweeper against Optuna, Ax and random search.

    pip install optuna ax-platform
    python benchmarks/sweepers.py --json regrets.json

Seven problems, the same budget, the same noise and ten seeds for every method. What
is printed is the median over the seeds of the simple regret: how much worse than the
optimum the recommended point truly is, noise left out.

One rule recommends for all: the trial with the best value observed so far. On a noisy
problem that is the luckiest trial as well as a good one, but every method can be asked
for it. The line `ours, by mean` is the same trials as `ours` with the sweeper's own
recommendation instead, `Optimizer.best`: the best posterior mean.

Every method runs with its own defaults, knows the bounds and is told the values; it is
not told whether they are noisy. The dropout problem also reports a standard error, as
an evaluation under drift does, to those that take one (ours and Ax).

`ours` is `bayesft.bo.Optimizer`, all that the Hydra sweeper asks; `--hydra` runs the
first seed of each problem through the sweeper in a Hydra application too, and fails
unless that tries the same points. The peers are called directly: their plugins for
Hydra pin old versions.

With `--json` each run is written down as it ends, and one that is there already is not
repeated.
"""

import argparse
import json
import logging
import math
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from bayesft.bo import Optimizer, Real, Space, Trial
from bayesft.errors import BayesFTError

BUDGETS = (20, 30, 50)
# Suggestions from here on are those of a model, whatever the method.
MODELLED = 12


@dataclass(frozen=True)
class Problem:
    """A function to be minimised, and the noise that hides it.

    Args:
        function: Of a point, d numbers, without noise.
        bounds: Lowest and highest value of each of the d.
        optimum: Smallest value within the bounds.
        noise: Standard deviation of what is observed.
        reported: Whether that is told as the standard error.
    """

    function: Callable[[Sequence[float]], float]
    bounds: Sequence[tuple[float, float]]
    optimum: float
    noise: float = 0.0
    reported: bool = False

    @property
    def stderr(self) -> float | None:
        return self.noise if self.reported else None


def branin(x: Sequence[float]) -> float:
    a, b = x
    bowl = b - 5.1 * a**2 / (4 * math.pi**2) + 5 * a / math.pi - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann6(x: Sequence[float]) -> float:
    depths = (1.0, 1.2, 3.0, 3.2)
    widths = (
        (10, 3, 17, 3.5, 1.7, 8),
        (0.05, 10, 17, 0.1, 8, 14),
        (3, 3.5, 1.7, 10, 17, 8),
        (17, 8, 0.05, 10, 0.1, 14),
    )
    centres = (
        (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
        (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
        (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
        (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
    )
    return -sum(
        depth * math.exp(-sum(w * (v - c) ** 2 for v, w, c in zip(x, width, centre, strict=True)))
        for depth, width, centre in zip(depths, widths, centres, strict=True)
    )


def ackley(x: Sequence[float]) -> float:
    distance = math.sqrt(sum(v**2 for v in x) / len(x))
    ripple = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return 20 + math.e - 20 * math.exp(-0.2 * distance) - math.exp(ripple)


SITES = 20
_WEIGHTS = [3.0 * 0.6**site for site in range(SITES)]
_RATES = [0.1 + 0.4 * (0.5 + 0.5 * math.sin(2.4 * site)) for site in range(SITES)]


def dropout_loss(rates: Sequence[float]) -> float:
    """Return 1 - score of a network under drift, as if it were trained with these rates.

    Each site has a best rate between .1 and .5 and matters .6 times as much as the one
    before it. Beyond a mean rate of about .55 little gets through, and the score falls
    to chance.
    """
    miss = sum(
        weight * (rate - best) ** 2
        for weight, rate, best in zip(_WEIGHTS, rates, _RATES, strict=True)
    )
    alive = 1 / (1 + math.exp((sum(rates) / SITES - 0.55) / 0.02))
    return 1 - (0.1 + 0.8 * math.exp(-2 * miss) * alive)


_BRANIN = partial(Problem, branin, [(-5.0, 10.0), (0.0, 15.0)], 0.39788735772973816)
_HARTMANN = partial(Problem, hartmann6, [(0.0, 1.0)] * 6, -3.3223680114155143)
# Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization",
# NeurIPS 2019: with symmetric bounds the optimum is in the middle, where Ax looks first.
_ACKLEY = partial(Problem, ackley, [(-5.0, 10.0)] * 5, 0.0)

PROBLEMS = {
    "branin": _BRANIN(),
    "branin-noisy": _BRANIN(noise=2.0),
    "hartmann6": _HARTMANN(),
    "hartmann6-noisy": _HARTMANN(noise=0.2),
    "ackley5": _ACKLEY(),
    "ackley5-noisy": _ACKLEY(noise=0.5),
    # The factor for a large mean rate is 1 within 1e-5 at the best rates.
    "dropout20": Problem(
        dropout_loss, [(0.0, 0.8)] * SITES, dropout_loss(_RATES), noise=0.01, reported=True
    ),
}


class Method(Protocol):
    """A search, as ask and tell over points."""

    def ask(self) -> list[float]: ...

    def tell(self, value: float) -> None: ...


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

    def recommended(self, budget: int) -> int:
        """Return the trial that the sweeper believes in after the first `budget`."""
        optimizer = self.optimizer
        past = Optimizer(
            optimizer.space,
            direction="minimize",
            seed=optimizer.seed,
            trials=optimizer.trials[:budget],
        )
        return past.best().number


class Random:
    """Uniform draws."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.luck = random.Random(f"random {seed}")

    def ask(self) -> list[float]:
        return [self.luck.uniform(*bounds) for bounds in self.problem.bounds]

    def tell(self, value: float) -> None:
        pass


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


METHODS: Mapping[str, Callable[[Problem, int], Method]] = {
    "ours": Ours,
    "optuna-gp": partial(Optuna, sampler="GPSampler"),
    "optuna-tpe": partial(Optuna, sampler="TPESampler"),
    "ax": Ax,
    "random": Random,
}
PEERS = ("optuna-gp", "optuna-tpe", "ax")
INSTALL = {"optuna-gp": "optuna", "optuna-tpe": "optuna", "ax": "ax-platform"}
OUR_MEAN = "ours, by mean"


@dataclass
class Run:
    """One search.

    Attributes:
        observed: regret of the best-observed trial after each of `BUDGETS`.
        recommended: that of the method's own recommendation, if it has one.
        seconds: of each suggestion.
        points: what was tried, in order.
    """

    observed: list[float] = field(default_factory=list)
    recommended: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    points: list[list[float]] = field(default_factory=list)


def search(method: Method, problem: Problem, seed: int) -> Run:
    """Run a method for the largest budget; the noise depends on trial and seed alone."""
    run = Run()
    values: list[float] = []
    for number in range(max(BUDGETS)):
        started = time.perf_counter()
        point = method.ask()
        run.seconds.append(time.perf_counter() - started)
        run.points.append(point)
        values.append(observe(problem, point, seed, number))
        method.tell(values[-1])
    for budget in BUDGETS:
        best = min(range(budget), key=values.__getitem__)
        run.observed.append(regret(problem, run.points[best]))
        if isinstance(method, Ours):
            best = method.recommended(budget)
            run.recommended.append(regret(problem, run.points[best]))
    return run


def observe(problem: Problem, point: Sequence[float], seed: int, number: int) -> float:
    return problem.function(point) + problem.noise * random.Random(f"{seed} {number}").gauss(0, 1)


def regret(problem: Problem, point: Sequence[float]) -> float:
    return problem.function(point) - problem.optimum


def named_bounds(problem: Problem) -> list[tuple[str, tuple[float, float]]]:
    return [(f"x{index}", bounds) for index, bounds in enumerate(problem.bounds)]


def space_of(problem: Problem) -> Space:
    return Space({name: Real(*bounds) for name, bounds in named_bounds(problem)})


def hydra_points(problem: Problem, seed: int) -> list[list[float]]:
    """Return the points that the Hydra sweeper tries on a problem, in order."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    points: list[list[float]] = []

    def task(config: Any) -> float | tuple[float, float]:
        points.append([config[name] for name, _ in named_bounds(problem)])
        value = observe(problem, points[-1], seed, len(points) - 1)
        return (value, problem.noise) if problem.reported else value

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(
            "defaults: [{override hydra/sweeper: bayesft}, _self_]\nhydra: {job: {chdir: false}}\n"
        )
        with initialize_config_dir(folder, version_base="1.3", job_name="sweepers"):
            GlobalHydra.instance().hydra.multirun(
                config_name="config",
                task_function=task,
                overrides=[
                    f"hydra.sweep.dir={folder}/sweep",
                    "hydra.sweeper.direction=minimize",
                    f"hydra.sweeper.n_trials={max(BUDGETS)}",
                    f"hydra.sweeper.seed={seed}",
                    *(f"+{name}=interval({low},{high})"
                      for name, (low, high) in named_bounds(problem)),
                ],
            )  # fmt: skip
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--json", type=Path, help="keep the runs in this file")
    parser.add_argument("--hydra", action="store_true", help="check ours through Hydra")
    arguments = parser.parse_args()
    # The peers' own deprecations and experimental features are not this script's.
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)

    methods = [method for method in arguments.methods if is_present(method)]
    kept: dict[str, dict[str, Any]] = {}
    if arguments.json and arguments.json.exists():
        kept = json.loads(arguments.json.read_text())
    for name in arguments.problems:
        problem = PROBLEMS[name]
        for method in methods:
            for seed in range(arguments.seeds):
                key = f"{name} {method} {seed}"
                if key not in kept:
                    kept[key] = vars(search(METHODS[method](problem, seed), problem, seed))
                    if arguments.json:
                        arguments.json.write_text(json.dumps(kept) + "\n")
        if arguments.hydra:
            ours = kept.get(f"{name} ours 0") or vars(search(Ours(problem, 0), problem, 0))
            check_hydra(name, ours["points"])
        show(name, methods, arguments.seeds, kept)
    summarise(arguments.problems, methods, arguments.seeds, kept)


def is_present(method: str) -> bool:
    """Whether a method can be imported; if not, say how to get it."""
    try:
        METHODS[method](PROBLEMS["branin"], 0)
    except ImportError as error:
        print(f"{method} is left out ({error}): pip install {INSTALL[method]}\n")
        return False
    return True


def check_hydra(name: str, points: Sequence[Sequence[float]]) -> None:
    through = hydra_points(PROBLEMS[name], 0)
    if through != [list(point) for point in points]:
        raise BayesFTError(f"{name}: through Hydra the sweeper tried other points.")
    print(f"{name}: through Hydra the same {len(points)} points")


def medians(
    name: str, method: str, seeds: int, kept: Mapping[str, Any], rule: str = "observed"
) -> list[float]:
    """Return the median regret over the seeds at each of `BUDGETS`."""
    regrets = [kept[f"{name} {method} {seed}"][rule] for seed in range(seeds)]
    return [statistics.median(column) for column in zip(*regrets, strict=True)]


def show(name: str, methods: Sequence[str], seeds: int, kept: Mapping[str, Any]) -> None:
    """Print the table of one problem."""
    print(f"{name:16}" + "".join(f"{f'at {budget}':>10}" for budget in BUDGETS) + "   s/suggestion")
    for method in methods:
        times = [
            taken
            for seed in range(seeds)
            for taken in kept[f"{name} {method} {seed}"]["seconds"][MODELLED:]
        ]
        row = _row(medians(name, method, seeds, kept))
        print(f"  {method:14}{row}{statistics.median(times):15.3f}")
        if method == "ours":
            print(f"  {OUR_MEAN:14}{_row(medians(name, method, seeds, kept, 'recommended'))}")
    print(flush=True)


def summarise(
    names: Sequence[str], methods: Sequence[str], seeds: int, kept: Mapping[str, Any]
) -> None:
    """Say on how many problems ours is no worse than the best peer."""
    peers = [method for method in methods if method in PEERS]
    if not peers or "ours" not in methods:
        return
    for index, budget in enumerate(BUDGETS):
        won = [
            name
            for name in names
            if medians(name, "ours", seeds, kept)[index]
            <= min(medians(name, peer, seeds, kept)[index] for peer in peers)
        ]
        print(f"at {budget} trials ours is no worse than the best peer on {len(won)} of "
              f"{len(names)}: {', '.join(won)}")  # fmt: skip


def _row(regrets: Sequence[float]) -> str:
    return "".join(f"{value:10.2g}" for value in regrets)


if __name__ == "__main__":
    main()
