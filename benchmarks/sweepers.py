"""How far from the optimum searches end: the sweeper against Optuna, Ax and random search.

    pip install optuna ax-platform
    python benchmarks/sweepers.py --json regrets.json

Seven problems, the same budget, the same noise and the same seeds for every method. What
is printed is the median over the seeds of the simple regret: how much worse than the
optimum the recommended point truly is, noise left out.

Which point that is, two rules say. `recommended`: the trial that the method itself then
calls the best, which is what its user gets: the best posterior mean for ours
(`Optimizer.best`), the best prediction of its model for Ax, the best observation for
the others. `observed`: the trial with the best value observed so far, for all alike. On
a noisy problem that is the luckiest trial as well as a good one.

Every method runs with its own defaults, knows the bounds and is told the values; it is
not told whether they are noisy. The dropout problem also reports a standard error, as
an evaluation under drift does, to those that take one (ours and Ax).

`ours` is `bayesft.bo.Optimizer`, all that the Hydra sweeper asks; `--hydra` runs the
first seed of each problem through the sweeper in a Hydra application too, and fails
unless that tries the same points. The peers are called directly: their plugins for
Hydra pin old versions.

Then it sets ours against the best peer on each problem, with a 95 % interval of the
ratio: medians of few seeds say less than they seem to. Last it prints how long ours
thinks about one suggestion after 100 trials, in 8 and in 50 dimensions.

With `--json` each run is written down as it ends, and one that is there already is not
repeated, whatever code made it: take a new file for new code.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from sweeper_methods import INSTALL, METHODS, PEERS, Method, Ours, Random
from sweeper_problems import PROBLEMS, Problem, named_bounds, observe, regret

from bayesft.bo import Optimizer, Trial
from bayesft.errors import BayesFTError

BUDGETS = (20, 30, 50)
# Suggestions from here on are those of a model, whatever the method.
MODELLED = 12
RULES = ("recommended", "observed")
BOOTSTRAP = 2000
TINY = 1e-12


@dataclass
class Run:
    """One search.

    Attributes:
        observed: regret of the best-observed trial after each of `BUDGETS`.
        recommended: that of the trial that the method itself then calls the best.
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
        if number + 1 in BUDGETS:
            best = min(range(number + 1), key=values.__getitem__)
            run.observed.append(regret(problem, run.points[best]))
            recommended = method.recommend()
            best = best if recommended is None else recommended
            run.recommended.append(regret(problem, run.points[best]))
    return run


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
    for dimensions in (8, 50):
        taken = seconds_after(100, dimensions)
        print(f"a suggestion after 100 trials in {dimensions} dimensions: {taken:.2f} s")


def seconds_after(trials: int, dimensions: int) -> float:
    """Return the median time of ours for a suggestion once it has so many trials."""
    bowl = Problem(lambda x: sum((v - 0.3) ** 2 for v in x), [(0.0, 1.0)] * dimensions, 0.0)
    luck = Random(bowl, 0)
    told = Ours(bowl, 0).optimizer
    for number in range(trials):
        params = dict(zip(told.space.dimensions, luck.ask(), strict=True))
        value = observe(bowl, list(params.values()), 0, number)
        told.tell(Trial(number, params, "finished", value))
    times = []
    for _ in range(5):
        fresh = Optimizer(told.space, direction="minimize", trials=told.trials)
        started = time.perf_counter()
        fresh.ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


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


def medians(name: str, method: str, rule: str, seeds: int, kept: Mapping[str, Any]) -> list[float]:
    """Return the median regret over the seeds at each of `BUDGETS`."""
    regrets = [kept[f"{name} {method} {seed}"][rule] for seed in range(seeds)]
    return [statistics.median(column) for column in zip(*regrets, strict=True)]


def show(name: str, methods: Sequence[str], seeds: int, kept: Mapping[str, Any]) -> None:
    """Print the table of one problem."""
    budgets = "".join(f"{f'at {budget}':>9}" for budget in BUDGETS)
    print(f"{name:16}" + "".join(f"{rule:>{len(budgets)}}   " for rule in RULES))
    print(f"{'':16}" + f"{budgets}   " * len(RULES) + "s/suggestion")
    for method in methods:
        times = [
            taken
            for seed in range(seeds)
            for taken in kept[f"{name} {method} {seed}"]["seconds"][MODELLED:]
        ]
        rows = "   ".join(_row(medians(name, method, rule, seeds, kept)) for rule in RULES)
        print(f"  {method:14}{rows}   {statistics.median(times):12.3f}")
    print(flush=True)


def summarise(
    names: Sequence[str], methods: Sequence[str], seeds: int, kept: Mapping[str, Any]
) -> None:
    """Say how ours compares with the best peer on each problem, and on how many it is no worse."""
    peers = [method for method in methods if method in PEERS]
    if not peers or "ours" not in methods:
        return
    for rule in RULES:
        for index, budget in enumerate(BUDGETS):
            won = []
            print(f"at {budget} trials, {rule}: median regret over the best peer's")
            for name in names:
                ratio, low, high, peer = against(name, peers, rule, index, seeds, kept)
                print(f"  {name:16}{ratio:9.2g}   ({low:.2g} to {high:.2g})   {peer}")
                if ratio <= 1:
                    won.append(name)
            print(f"  no worse on {len(won)} of {len(names)}: {', '.join(won)}\n")


def against(
    name: str,
    peers: Sequence[str],
    rule: str,
    index: int,
    seeds: int,
    kept: Mapping[str, Any],
) -> tuple[float, float, float, str]:
    """Return the ratio of the median regrets of ours and of the best peer, and who that is.

    After the ratio come the ends of a 95 % interval: of bootstrap samples of the seeds
    of each of the two. It does not know that the peer is the best of several.
    """

    def regrets(method: str) -> list[float]:
        return [kept[f"{name} {method} {seed}"][rule][index] for seed in range(seeds)]

    def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
        # A regret of 0 is one that rounds to it.
        return max(statistics.median(ours), TINY) / max(statistics.median(theirs), TINY)

    peer = min(peers, key=lambda method: statistics.median(regrets(method)))
    ours, theirs = regrets("ours"), regrets(peer)
    luck = random.Random(f"{name} {rule} {index}")
    ratios = sorted(
        ratio(luck.choices(ours, k=seeds), luck.choices(theirs, k=seeds)) for _ in range(BOOTSTRAP)
    )
    tail = BOOTSTRAP // 40
    return ratio(ours, theirs), ratios[tail], ratios[-1 - tail], peer


def _row(regrets: Sequence[float]) -> str:
    return "".join(f"{value:9.2g}" for value in regrets)


if __name__ == "__main__":
    main()
