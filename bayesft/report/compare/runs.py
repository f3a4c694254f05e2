"""The runs of a comparison, read from its folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesft.errors import SettingError
from bayesft.report.compare.comparison import Comparison
from bayesft.report.compare.fair import check_is_one, spoilt, told, unequal
from bayesft.report.compare.plan import Plan
from bayesft.report.cost import Cost
from bayesft.report.recipe import difference, recipe
from bayesft.report.runs import configs_of, curve_of, damaged, failures_of
from bayesft.report.scores import own_chip_key, read_scores, score_title
from bayesft.robustness import Curve

NODE = "comparison"
"""What the config of each run of a comparison has."""


@dataclass(frozen=True)
class Run:
    """One training of a comparison.

    Attributes:
        folder: below the comparison's.
        contender: which.
        seed: of the training.
        config: all of it.
        curve: on test images, None if the run is not finished.
        reason: why there is no curve.
        cost: of the training, if it is known.
        own_chip: the score on the chip that it was made for, if there is one.
    """

    folder: Path
    contender: str
    seed: int
    config: Mapping[str, Any]
    curve: Curve | None
    reason: str
    cost: Cost | None
    own_chip: float | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the result."""
        return recipe(self.config)


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        comparison: the finished runs.
        runs: behind the curves, by contender, in the order of their seeds.
        missing: which runs are not there, and why: a line for each contender and reason.
        left_out: one line for each run that is not compared, and why.
        notes: what is not equal, and may have to be.
        unfinished: contender and seed of each run that is not there.
    """

    comparison: Comparison
    runs: Mapping[str, Sequence[Run]]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    unfinished: tuple[tuple[str, int], ...] = ()


def is_comparison(folder: Path) -> bool:
    """Whether `folder` holds runs of a comparison."""
    return any(configs_of(folder, NODE))


def read_comparison(folder: Path) -> Found:
    """Return the runs in the folders below `folder`.

    Raises:
        SettingError: no run is finished.
        MixedRunsError: they are of more than one comparison.
    """
    plan = Plan.read(folder)
    runs = [_run(folder, *each) for each in configs_of(folder, NODE)]
    reasons = {
        (each[NODE]["contender"], each["seed"]): each["reason"]
        for each in failures_of(folder, NODE)
    }
    # What was never finished is in no table, and may be of another attempt.
    check_is_one(folder, [run for run in runs if run.curve is not None])
    runs, left_out = _comparable(runs)
    unread = damaged(folder)
    left_out += [f"{run.relative_to(folder)}: {reason}" for run, reason in unread.items()]
    kept: dict[tuple[str, int], Run] = {}
    for run in runs:
        if (run.contender, run.seed) in kept:
            left_out.append(f"{run.folder}: a second run of {run.contender}, seed {run.seed}")
        else:
            kept[run.contender, run.seed] = run
    seeds = sorted({*plan.seeds, *(seed for _, seed in [*kept, *reasons] if seed is not None)})
    baseline = next((run.config[NODE].get("baseline") for run in runs), "erm")
    named = [*plan.contenders, *sorted({name for name, _ in [*kept, *reasons]})]
    order = list(dict.fromkeys(sorted(named, key=lambda name: name != baseline)))
    finished = {key: run for key, run in kept.items() if run.curve is not None}
    unfinished = [(name, seed) for name in order for seed in seeds if (name, seed) not in finished]
    missing = _told(
        {
            (name, seed): _reason(
                kept.get((name, seed)),
                reasons.get((name, seed)),
                # Where experiment=compare has a run write.
                folder / name / f"seed-{seed}" in unread,
            )
            for name, seed in unfinished
        }
    )
    if not finished:
        raise SettingError(
            f"{folder} has no finished run to compare. Expected the folder of "
            "`python train.py -m experiment=compare`." + "".join(f"\n  {e}" for e in missing)
        )
    by_name = {
        name: [finished[name, seed] for seed in seeds if (name, seed) in finished] for name in order
    }
    by_name = {name: of_name for name, of_name in by_name.items() if of_name}
    curves = {name: {run.seed: run.curve for run in each} for name, each in by_name.items()}
    first = next(iter(finished.values()))
    comparison = Comparison(
        curves, tuple(first.config["evaluation"]["sigmas"]), baseline, score_title(first.config)
    )
    notes = [*_of_baseline(comparison), *unequal(by_name)]
    return Found(
        comparison, by_name, tuple(missing), tuple(left_out), tuple(notes), tuple(unfinished)
    )


def _run(folder: Path, run: Path, config: Mapping[str, Any]) -> Run:
    curve, reason = curve_of(run, config["evaluation"]["sigmas"])
    name = config[NODE]["contender"]
    path = run.relative_to(folder)
    own = read_scores(run).get(own_chip_key(config))
    return Run(path, name, config["seed"], config, curve, reason, Cost.read(run), own)


def _comparable(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs whose settings are those of their contender's first, and lines on others."""
    kept: list[Run] = []
    left_out: dict[str, list[Run]] = {}
    first: dict[str, Run] = {}
    # The finished ones first: what was stopped does not set the rule.
    for run in sorted(runs, key=lambda run: run.curve is None):
        wrong = spoilt(run.config)
        if run.seed is None:
            wrong.append("no seed")
        if not wrong:
            rule = first.setdefault(run.contender, run)
            if differs := difference(run.recipe, rule.recipe):
                name = run.contender
                wrong.append(
                    f"another {name} than in {rule.folder}, and one contender has one way to "
                    f"train ({'; '.join(differs)}). Give it a name of its own: "
                    f"comparison.contender=<name>"
                )
        if wrong:
            left_out.setdefault("; ".join(wrong), []).append(run)
        else:
            kept.append(run)
    return kept, [f"{told(of)}: {reason}" for reason, of in left_out.items()]


def _reason(run: Run | None, failure: str | None, unread: bool) -> str:
    if failure is not None:
        return failure
    if run is None:
        return "its config.yaml cannot be read" if unread else "not started"
    return run.reason


def _told(reasons: Mapping[tuple[str, int], str]) -> list[str]:
    """Return one line for each contender and reason."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for (name, seed), reason in reasons.items():
        seeds.setdefault((name, reason), []).append(seed)
    return [
        f"{name}, seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: {reason}"
        for (name, reason), of in seeds.items()
    ]


def _of_baseline(comparison: Comparison) -> list[str]:
    if comparison.baseline in comparison.contenders:
        return []
    return [
        f"There is no finished run of {comparison.baseline}, and so no difference from it: "
        f"add contender={comparison.baseline}."
    ]
