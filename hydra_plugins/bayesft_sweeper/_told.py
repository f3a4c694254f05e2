"""What a person reads of a search: a line per trial, and the results file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bayesft.bo import Trial
from hydra_plugins.bayesft_sweeper._vectors import Layout

RESULTS = "optimization_results.yaml"


def trial_line(trial: Trial, best: Trial | None, layout: Layout, seconds_left: float | None) -> str:
    """Return one line on a trial that has ended."""
    parts = [f"trial {trial.number:>3}", short_point(trial.params, layout)]
    if trial.state == "failed":
        parts.append(f"failed: {_shortened(trial.reason or '')}")
    else:
        parts.append(_value(trial))
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    if seconds_left:
        parts.append(f"{_duration(seconds_left)} left")
    return "  ".join(parts)


def short_point(params: Mapping[str, Any], layout: Layout) -> str:
    """Return a point in few characters: vectors as bare lists, scalars by their last word."""
    parts = [
        "[" + " ".join(f"{params[name]:.2f}" for name in vector.elements) + "]"
        for vector in layout.vectors
    ]
    for key in layout.scalars:
        value = params[key]
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{key.lstrip('+').rsplit('.', 1)[-1]}={shown}")
    return " ".join(parts)


def write_results(
    folder: Path,
    trials: Sequence[Trial],
    best: Trial | None,
    layout: Layout,
    *,
    stopped: str | None = None,
    insight: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `optimization_results.yaml` and return its content.

    `stopped` says why a search ended before its last trial, `insight` what it has learnt.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    results: dict[str, Any] = {
        "name": "bayesft",
        "best_params": None if best is None else best_params(best.params, layout),
        "best_value": None if best is None else best.value,
        "best_stderr": None if best is None else best.stderr,
        "best_trial": None if best is None else best.number,
        "best_folder": None if best is None else best.folder,
        "first_folder": next((t.folder for t in finished if t.number == 0), None),
        "num_trials": len(trials),
        "num_failed": sum(trial.state == "failed" for trial in trials),
        "stopped": stopped,
        "insight": insight,
    }
    OmegaConf.save(OmegaConf.create(results), folder / RESULTS)
    return results


def best_params(params: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return a point by config key, each vector as one list."""
    point = {v.key: [params[name] for name in v.elements] for v in layout.vectors}
    return point | {key: params[key] for key in layout.scalars}


def _value(trial: Trial) -> str:
    error = "" if trial.stderr is None else f" ± {trial.stderr:.4f}"
    return f"{trial.value:.4f}{error}"


def _shortened(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
