"""The runs of a factor study, read from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesft.errors import SettingError
from bayesft.report.factors.study import BASELINE, Level, Setting, Study, name_of
from bayesft.report.recipe import difference, recipe
from bayesft.report.runs import configs_of, curve_of, damaged, failures_of
from bayesft.report.scores import score_title
from bayesft.robustness import Curve

NODE = "factor"
"""What the config of each run of a study has."""

# What a factor moves, and may thus differ between the runs of a study.
_MOVED = ("norm", "depth", "activation", "dropout", "dropout_type")


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        study: the finished runs.
        missing: one line for each run that the others lack, and why.
        left_out: one line for each run that is not compared, and why.
    """

    study: Study
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    folder: Path
    setting: Setting
    baseline: Mapping[str, Level]
    seed: int
    sigmas: tuple[float, ...]
    title: str
    recipe: Mapping[str, Any]
    curve: Curve | None
    reason: str


def is_study(folder: Path) -> bool:
    """Whether `folder` holds runs of a factor study."""
    return any(configs_of(folder, NODE))


def read_study(folder: Path) -> Found:
    """Return the runs in the folders below `folder`.

    Raises:
        SettingError: there is no finished run of the baseline.
    """
    reasons = {_key(failure): failure["reason"] for failure in failures_of(folder, NODE)}
    runs = [_run(run, config) for run, config in configs_of(folder, NODE)]
    first = next((run for run in runs if run.setting == BASELINE and run.curve is not None), None)
    if first is None:
        raise SettingError(
            f"{folder} has no finished run of a study's baseline, which the others are compared "
            "with. Expected the folder of `python train.py -m experiment=factors`."
            + "".join(f"\n  {_told(run, reasons)}" for run in runs if run.curve is None)
        )
    runs, left_out = _comparable(runs, first)
    left_out += [f"{run}: {reason}" for run, reason in damaged(folder).items()]
    curves: dict[Setting, dict[int, Curve]] = {}
    for run in runs:
        of_setting = curves.setdefault(run.setting, {})
        if run.seed in of_setting:
            left_out.append(
                f"{run.folder}: a second run of {name_of(run.setting)}, seed {run.seed}"
            )
        elif run.curve is not None:
            of_setting[run.seed] = run.curve
    for setting, _ in reasons:
        curves.setdefault(setting, {})
    seeds = {run.seed for run in runs} | {seed for _, seed in reasons if seed is not None}
    why = {(run.setting, run.seed): run.reason for run in runs} | reasons
    missing = [
        f"{name_of(setting)}, seed {seed}: {why.get((setting, seed), 'not started')}"
        for setting in curves
        for seed in sorted(seeds)
        if seed not in curves[setting]
    ]
    study = Study(first.baseline, curves, first.sigmas, first.title)
    return Found(study, tuple(missing), tuple(left_out))


def _comparable(runs: Sequence[_Run], first: _Run) -> tuple[list[_Run], list[str]]:
    """Return the runs that differ from the baseline's in the factors and the seed alone."""
    kept, left_out = [], []
    for run in runs:
        differs = difference(run.recipe, first.recipe)
        if run.baseline != first.baseline:
            differs.insert(0, "another baseline")
        if run.seed is None:
            differs.insert(0, "no seed")
        if differs:
            left_out.append(f"{run.folder}: {'; '.join(differs)}")
        else:
            kept.append(run)
    return kept, left_out


def _run(folder: Path, config: Mapping[str, Any]) -> _Run:
    setting, seed = _key(config)
    sigmas = tuple(config["evaluation"]["sigmas"])
    curve, reason = curve_of(folder, sigmas)
    rules = {
        key: value
        for key, value in recipe(config).items()
        if key.removeprefix("model.").split(".")[0] not in _MOVED
    }
    title = score_title(config)
    return _Run(folder, setting, config["baseline"], seed, sigmas, title, rules, curve, reason)


def _key(config: Mapping[str, Any]) -> tuple[Setting, int]:
    factor, baseline = config["factor"], config["baseline"]
    # In the baseline's order, whatever order the levels were typed in.
    setting = tuple((name, factor[name]) for name in baseline if factor[name] != baseline[name])
    return setting, config["seed"]


def _told(run: _Run, reasons: Mapping[tuple[Setting, int], str]) -> str:
    reason = reasons.get((run.setting, run.seed), run.reason)
    return f"{name_of(run.setting)}, seed {run.seed}: {reason}"
