"""What a run's test has measured besides the curve."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesft.folders import at_once

SCORES = "test_scores.json"


def score_title(config: Mapping[str, Any]) -> str:
    """Return what tables and figures call the score of the task of a run's config."""
    task = config.get("task") or {}
    return task.get("title") or task.get("name") or "accuracy"


def score_name(config: Mapping[str, Any]) -> str:
    """Return what logs call it."""
    return (config.get("task") or {}).get("name", "acc")


def own_chip_key(config: Mapping[str, Any]) -> str:
    """Return the name of the score that a network made for one chip has there."""
    return f"test/own_chip_{score_name(config)}"


def write_scores(scores: Mapping[str, float], folder: Path) -> None:
    """Leave the test's metrics by name in the folder of the run; null for what is not finite."""
    finite = {name: value if math.isfinite(value) else None for name, value in scores.items()}
    with at_once(folder / SCORES) as temporary:
        temporary.write_text(
            json.dumps(finite, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_scores(folder: Path) -> dict[str, float]:
    """Return what `write_scores` left of finite numbers; nothing where there is no such file.

    A run is worth its curve without it.
    """
    try:
        scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(scores, dict):
        return {}
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
