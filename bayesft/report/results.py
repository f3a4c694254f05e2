"""The file that says what a search has found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bayesft.bo import Constraint, Trial, is_feasible
from bayesft.folders import at_once

RESULTS = "optimization_results.yaml"

# The two ways to search.
RETRAIN, ALTERNATING = "retrain", "alternating"


def write_results(
    folder: Path,
    trials: Sequence[Trial],
    best: Trial | None,
    best_params: dict[str, Any] | None,
    *,
    kind: str = RETRAIN,
    constraints: Sequence[Constraint] = (),
    stopped: str | None = None,
    insight: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `optimization_results.yaml` and return its content.

    Args:
        folder: of the search.
        trials: those that have ended.
        best: the one to believe in, if there is one.
        best_params: its point by config key, vectors as lists.
        kind: `RETRAIN`, one training per trial, or `ALTERNATING`, one for all.
        constraints: what the best was to keep to.
        stopped: why a search ended before its last trial.
        insight: what it has learnt, as plain data.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    first = next((t.folder for t in finished if t.number == 0), None)
    if kind == ALTERNATING:
        # Its trials are no networks of their own.
        first = None
    results: dict[str, Any] = {
        "name": "bayesft",
        "kind": kind,
        "best_params": best_params,
        "best_value": None if best is None else best.value,
        "best_stderr": None if best is None else best.stderr,
        "best_named": None if best is None else best.extra or None,
        "constraints": [str(constraint) for constraint in constraints],
        "best_feasible": None if best is None else is_feasible(best, constraints),
        "best_trial": None if best is None else best.number,
        "best_folder": None if best is None else best.folder,
        "first_folder": first,
        "num_trials": len(trials),
        "num_failed": sum(trial.state == "failed" for trial in trials),
        "stopped": stopped,
        "insight": insight,
    }
    # At once: the report of another process may be reading it.
    with at_once(folder / RESULTS) as temporary, open(temporary, "w", encoding="utf-8") as file:
        yaml.safe_dump(results, file, sort_keys=False, allow_unicode=True)
    return results
