"""What of a run's config decides its result."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

_PARTS = ("model", "method", "data", "drift", "evaluation", "trainer", "callbacks")

# Where a run reads and writes, what it runs on, and how it shows itself. The two seeds
# follow `seed`.
_NO_MATTER = (
    "callbacks.*.backend", "callbacks.*.dirpath", "callbacks.*.filename", "callbacks.*.output_dir",
    "callbacks.*.search_seed", "data.data_dir", "data.num_workers", "data.pin_memory",
    "data.shuffle_seed", "evaluation.*backend", "method.task.title", "trainer.accelerator",
    "trainer.default_root_dir", "trainer.devices", "trainer.enable_model_summary",
    "trainer.enable_progress_bar", "trainer.log_every_n_steps",
)  # fmt: skip

# What callbacks of these names do leaves weights and curves alone.
_ONLY_WATCH = {"example_detections", "random_state", "rich_progress_bar", "wandb_drift_curve"}


# How a search's best network is tested in the end, which no trial's value depends on.
_OF_THE_TEST = ("evaluation.test.*", "callbacks.*.test_*")

# Where an evaluation's settings are used, by a method or by a search while training, they stand
# in its config as well; other runs have no use for them.
_OF_OTHERS = {"typical", "harsh", "trial"}


def recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a run's result, the seed left out, flat.

    Args:
        config: of a run, with nothing left to resolve: what its `config.yaml` holds.

    Returns:
        Dotted key to value, such as `{"trainer.max_epochs": 10}`.
    """
    parts = {part: config[part] for part in _PARTS if part in config}
    if parts.get("callbacks"):
        parts["callbacks"] = {k: v for k, v in parts["callbacks"].items() if k not in _ONLY_WATCH}
    if parts.get("evaluation"):
        parts["evaluation"] = {k: v for k, v in parts["evaluation"].items() if k not in _OF_OTHERS}
    if (warm := config.get("warm_start") or {}).get("folder") is not None:
        parts["warm_start"] = warm
    flat = {key: value for key, value in _flat(parts).items() if not _is_one_of(key, _NO_MATTER)}
    # A file is known by what is in it, wherever it lies.
    known = {key.removesuffix("sha256") + "file" for key, value in flat.items()
             if key.endswith(".sha256") and value is not None}  # fmt: skip
    return {key: value for key, value in flat.items() if key not in known}


def recipe_of_trials(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide what a search's trials are worth, flat.

    None of an application that is laid out otherwise.

    Args:
        config: see `recipe`.
    """
    found = recipe(config)
    if not found:
        return {}
    kept = {key: value for key, value in found.items() if not _is_one_of(key, _OF_THE_TEST)}
    return kept | {key: config.get(key) for key in ("seed", "ckpt_path")}


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return where two recipes differ, as `key: ours, not theirs`; empty if nowhere."""
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return [
        f"{key}: {ours.get(key, 'unset')}, not {theirs.get(key, 'unset')}"
        for key in keys
        if ours.get(key) != theirs.get(key)
    ]


def _is_one_of(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
