"""What a search has found, as a contender of a comparison."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bayesft.app.commands import OVERRIDES, SETTINGS, searchpath
from bayesft.bo import JOURNAL
from bayesft.errors import SettingError
from bayesft.folders import typed
from bayesft.report.results import ALTERNATING, RESULTS
from bayesft.report.runs import read_mapping

COMPOSED = Path(".hydra") / "config.yaml"

# The groups that say how to train, and what else of a search is in its contender.
_WAY = ("method", "optimizer", "scheduler")
_OF_MODEL = ("dropout", "sites")
_OF_CHECKPOINT = ("monitor", "mode")

# What belongs to a contender if it was searched; all else is one for all of a comparison.
_PARTS = (*_WAY, "model", "trainer", "callbacks")


@dataclass(frozen=True)
class FoundContender:
    """The best trial of a search as a way to train.

    Attributes:
        config: of the contender, with interpolations left to the comparison's own settings.
        searched: what the search has chosen, by config key.
        left_out: of these, what a comparison has the same for all.
        source: one sentence on where it comes from.
        overrides: the network, data and length that the search had.
        experiments: files of `conf/experiment` that the search was composed with.
    """

    config: Mapping[str, Any]
    searched: Mapping[str, Any]
    left_out: Mapping[str, Any]
    source: str
    overrides: tuple[str, ...]
    experiments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What a file of `conf/contender` holds."""
        body = yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True, width=100)
        return f"# @package _global_\n# {self.source}\n{body}"


def found_contender(search: Path) -> FoundContender:
    """Return the best trial of the search in a folder as a contender.

    It is written out with its values, and does not point to the folder: a search that goes on
    does not change a comparison, and several searches stand in one by names of their own. Method,
    optimizer and scheduler are whole; of an alternating search, which ended with constant rates,
    the scheduler and the tested weights are the comparison's.

    Args:
        search: folder of a search, or of a training with callbacks.dropout_search.

    Raises:
        SettingError: there is no search, it has not ended, or its best trial is not there any more.
    """
    results = _results(search)
    best = search / results["best_folder"]
    try:
        composed, settings = (read_mapping(best / each) for each in (COMPOSED, SETTINGS))
        given = yaml.safe_load((best / OVERRIDES).read_text(encoding="utf-8"))
        choices = settings["hydra"]["runtime"]["choices"]
    except (SettingError, OSError, yaml.YAMLError, KeyError) as error:
        raise SettingError(
            f"The settings of the best trial, {best / '.hydra'}, cannot be read: {error}. They are "
            "what Hydra leaves of a run that search.py or train.py started."
        ) from error
    searched = {key.lstrip("+"): value for key, value in results["best_params"].items()}
    alternating = results.get("kind") == ALTERNATING
    groups = [each for each in _WAY if not (alternating and each == "scheduler")]
    config: dict[str, Any] = {"defaults": [{f"override /{g}": choices[g]} for g in groups]}
    config["model"] = {k: composed["model"][k] for k in _OF_MODEL if k in composed["model"]}
    if alternating:
        config["model"]["dropout"] = searched["model.dropout"]
    config |= {group: composed[group] for group in groups if composed.get(group) is not None}
    checkpoint = (composed.get("callbacks") or {}).get("model_checkpoint")
    if checkpoint and not alternating:
        kept = {key: checkpoint[key] for key in _OF_CHECKPOINT if key in checkpoint}
        config["callbacks"] = {"model_checkpoint": kept}
    left_out = {}
    for key in searched:
        part, dot, _ = key.partition(".")
        # A group that was searched is in `defaults` if it is one of the way to train.
        if (dot and part not in _PARTS) or (not dot and part not in _WAY):
            left_out[key] = searched[key]
        elif dot and key != "model.dropout":
            _put(config, key, _at(composed, key))
    config["found"] = {
        "folder": str(search),
        "trial": results["best_trial"],
        "objective": results["best_value"],
        "objective_stderr": results["best_stderr"],
        # So that a report sees if it was tuned on the chips that it is tested on.
        "objective_seed": _at(composed, "evaluation.objective.seed"),
        # And if a training that it was chosen by is one of those.
        "seed": composed.get("seed"),
    }
    known = {*searched, *(f"model.{key}" for key in _OF_MODEL)}
    overrides = [
        *searchpath(settings["hydra"]["overrides"]["hydra"]),
        f"model={choices['model']}",
        f"data={choices['data']}",
        *(each for each in given if _is_common(each, known)),
        f"trainer.max_epochs={composed['trainer']['max_epochs']}",
    ]
    source = _source(search, results)
    if (composed.get("warm_start") or {}).get("folder") is not None:
        source += " It started from another trial's weights; here it starts from its own."
    # That of a search inside a training is a way to train, which plain training is not to have.
    experiments = () if alternating else _experiments(given)
    return FoundContender(config, searched, left_out, source, tuple(overrides), experiments)


def write_contender(search: Path, name: str, conf: Path) -> tuple[Path, FoundContender]:
    """Write the best trial of a search to `<conf>/contender/<name>.yaml`.

    Args:
        search: see `found_contender`.
        name: of the contender.
        conf: the folder of configs, beside train.py or one of `hydra.searchpath`.

    Returns:
        The file, and what is in it.

    Raises:
        SettingError: see `found_contender`; also the name cannot be one or is taken, or there is
            no such folder.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII):
        raise SettingError(
            f"Expected <name> to begin with a letter and hold letters, digits, _ and - alone, but "
            f"got {name!r}: it is what is typed as contender=<name>."
        )
    if not conf.is_dir():
        raise SettingError(
            f"There is no folder {conf}. Run this beside train.py, or say where configs lie: "
            "--conf <folder>."
        )
    path = conf / "contender" / f"{name}.yaml"
    if path.exists():
        raise SettingError(f"{path} is there already. Choose another name, or remove it first.")
    found = found_contender(search)
    path.parent.mkdir(exist_ok=True)
    path.write_text(found.text, encoding="utf-8")
    return path, found


def compare_command(name: str, found: FoundContender) -> str:
    """Return the command that compares it with plain training, as long as the search's trials."""
    experiment = "compare"
    if found.experiments:
        # What they say of network, data and evaluation holds for the comparison as well.
        experiment = f"[compare,{','.join(found.experiments)}]"
    command = ["python", "train.py", "-m", f"experiment={experiment}", f"contender=erm,{name}"]
    seed = found.config["found"]["seed"]
    # Not the one by which it was chosen: there it may be luckier than elsewhere.
    seeds = [] if seed is None else [f"seed={','.join(str(seed + k) for k in (1, 2, 3))}"]
    return shlex.join([*command, *found.overrides, *seeds])


def _results(search: Path) -> dict[str, Any]:
    if not search.is_dir():
        raise SettingError(
            f"There is no folder {search}. Expected the folder of a search: `python search.py -m "
            "hydra/sweeper=bayesft` names it when it ends."
        )
    path = search / RESULTS
    if not path.exists():
        begun = (search / JOURNAL).exists()
        raise SettingError(
            f"{search} holds a search that has not ended. The command that started it, with "
            f"{typed('hydra.sweep.dir', search)}, goes on."
            if begun
            else f"{search} holds no search: there is no {RESULTS}."
        )
    results = read_mapping(path)
    if results.get("best_folder") is None or not results.get("best_params"):
        raise SettingError(f"No trial of the search in {search} has a value; see its {JOURNAL}.")
    if results.get("kind") == ALTERNATING and results.get("insight") is None:
        raise SettingError(
            f"The search of the training in {search} has not ended. The command that started it, "
            f"with {typed('hydra.run.dir', search)} resume=true, goes on."
        )
    return results


def _source(search: Path, results: Mapping[str, Any]) -> str:
    error = results.get("best_stderr")
    value = f"{results['best_value']:.4f}" + ("" if error is None else f" ± {error:.4f}")
    told = f"Trial {results['best_trial']} of the search in {search}: {value}."
    if results.get("best_feasible") is False:
        told += f" It does not keep to {', '.join(results['constraints'])}, as no trial does."
    return told


def _experiments(given: Sequence[str]) -> tuple[str, ...]:
    """Return the experiments among the overrides of a run."""
    for override in given:
        key, _, value = override.partition("=")
        if key.lstrip("+") == "experiment" and value not in ("", "null"):
            return tuple(each.strip() for each in value.strip("[]").split(","))
    return ()


def _is_common(override: str, known: set[str]) -> bool:
    """Whether a typed override is about what a comparison has the same for all.

    So is an optimizer that was not searched: or a difference from plain training would be
    the optimizer's as well.
    """
    key = override.partition("=")[0].lstrip("+~")
    parts = ("model.", "data.", "drift", "evaluation", "trainer.", "optimizer")
    return key.startswith(parts) and key not in known and key != "trainer.max_epochs"


def _at(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        config = config.setdefault(part, {})
    config[last] = value
