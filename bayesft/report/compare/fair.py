"""Whether the runs of a comparison met the same data, chips and lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesft.errors import SettingError
from bayesft.report.scores import score_name

if TYPE_CHECKING:
    from bayesft.report.compare.runs import Run

# What of a network is part of the way to train.
_OF_WAY = ("model.dropout", "model.dropout_type", "model.sites")

# What is one and the same in all runs of a comparison.
_SAME = ("data.", "drift.", "evaluation.", "model._target_", "callbacks.drift_evaluation.test_")


class MixedRunsError(SettingError):
    """A folder holds runs that cannot be compared."""


def check_is_one(folder: Path, runs: Sequence[Run]) -> None:
    """Raise `MixedRunsError` if the runs differ in data, network, drift, score or test chips."""
    recipes = [
        {"task.name": score_name(run.config)}
        | {k: v for k, v in run.recipe.items() if k.startswith(_SAME)}
        for run in runs
    ]
    keys = dict.fromkeys(key for each in recipes for key in each)
    lines = []
    for key in keys:
        groups: dict[str, list[Run]] = {}
        for run, each in zip(runs, recipes, strict=True):
            groups.setdefault(str(each.get(key, "not set")), []).append(run)
        if len(groups) > 1:
            where = (f"{v} in {told(of)}" for v, of in groups.items())
            lines.append(f"{key}: {', '.join(where)}")
    if lines:
        # Another class brings other settings with it, which say nothing more.
        classes = [line for line in lines if line.split(":")[0].endswith("_target_")]
        shown = (classes or lines)[:4]
        more = [] if len(shown) == len(lines) else [f"and {len(lines) - len(shown)} more"]
        raise MixedRunsError(
            f"The runs in {folder} are not of one comparison, and numbers on different data, "
            "networks or chips do not belong in one table:\n  "
            + "\n  ".join([*shown, *more])
            + "\nGive the folder of one multirun, or move the runs that do not belong elsewhere."
        )


def told(runs: Sequence[Run]) -> str:
    """Return which runs they are: the first one's folder, and how many more."""
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0].folder}{more}"


def spoilt(config: Mapping[str, Any]) -> list[str]:
    """Return where something that a run tunes with meets the chips that it is tested on."""
    evaluation = config["evaluation"]
    tuned = {
        f"evaluation.{name}.seed": evaluation[name].get("seed")
        for name in evaluation
        if isinstance(evaluation[name], Mapping) and name != "test"
    }
    tuned |= {
        f"callbacks.{name}.seed": callback.get("seed")
        for name, callback in (config.get("callbacks") or {}).items()
        if isinstance(callback, Mapping)
    }
    if (config.get("found") or {}).get("objective_seed") is not None:
        tuned["found.objective_seed"] = config["found"]["objective_seed"]
    test = evaluation.get("test", {}).get("seed")
    return [
        f"{key} is {seed}, as evaluation.test.seed: it was tuned on the test's chips"
        for key, seed in tuned.items()
        if seed is not None and seed == test
    ]


def unequal(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return what is not the same for all contenders, a line for each: seeds, the network,
    settings of the trainer, machines; and who was chosen by a training that is compared.
    """
    lines = []
    if len({tuple(run.seed for run in of_name) for of_name in runs.values()}) > 1:
        lines.append(
            "Not all contenders have the same seeds: their differences in pairs can be compared, "
            "their means less so."
        )
    firsts = {name: of_name[0].recipe for name, of_name in runs.items()}
    for key in dict.fromkeys(k for each in firsts.values() for k in each):
        values = {name: each.get(key) for name, each in firsts.items()}
        of_network = key.startswith("model.") and not key.startswith(_OF_WAY)
        if (of_network or key.startswith("trainer.")) and len({*map(str, values.values())}) > 1:
            each = ", ".join(f"{value} for {name}" for name, value in values.items())
            more = " What the network makes of it is in the differences too." if of_network else ""
            lines.append(f"Not the same for all: {key} is {each}.{more}")
    for name, of_name in runs.items():
        seed = (of_name[0].config.get("found") or {}).get("seed")
        if seed is not None and seed in [run.seed for run in of_name]:
            lines.append(
                f"{name} was chosen by its training with seed {seed}, which is one of these: there "
                "it may be luckier than elsewhere. Other seeds tell."
            )
    costs = [run.cost for of_name in runs.values() for run in of_name if run.cost is not None]
    machines = dict.fromkeys(f"{cost.device}, {cost.threads} threads" for cost in costs)
    if len(machines) > 1:
        lines.append(f"The times are of different machines: {'; '.join(machines)}.")
    return lines


def kept_weights(config: Mapping[str, Any]) -> str:
    """Return which weights of a training were tested."""
    checkpoint = (config.get("callbacks") or {}).get("model_checkpoint") or {}
    monitor = checkpoint.get("monitor")
    if monitor is None:
        return "the last epoch's"
    extreme = "highest" if checkpoint.get("mode") == "max" else "lowest"
    return f"those of the epoch with the {extreme} {monitor}"
