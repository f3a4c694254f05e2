"""Folders of comparisons, as their runs leave them, with curves whose truth is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bayesft.report.cost import Cost
from bayesft.report.scores import own_chip_key, write_scores
from bayesft.robustness import Curve, CurvePoint

SIGMAS = (0.3, 0.6)


def curve(score: float, *, chips: Sequence[float] = (0.0, 0.0), seed: int = 3) -> Curve:
    """0.9 without drift, `score` on the average of two sigmas; `chips` are added to each."""
    rows = [[mean + chip for chip in chips] for mean in (0.9, score + 0.1, score - 0.1)]
    points = tuple(
        CurvePoint.from_scores(sigma, row, images=100)
        for sigma, row in zip((0.0, *SIGMAS), rows, strict=True)
    )
    return Curve(points, tuple(map(tuple, rows)), seed=seed)


def add(
    folder: Path,
    contender: str,
    seed: int | None = 0,
    score: float | None = 0.5,
    *,
    seconds: float | None = 60.0,
    chips: Sequence[float] = (0.0, 0.0),
    own_chip: float | None = None,
    **settings: Any,
) -> Path:
    """Write a run; without a score it was stopped. `settings` are of the config, by part."""
    run = folder / contender / f"seed-{seed}"
    run.mkdir(parents=True)
    config: dict[str, Any] = {
        "seed": seed,
        "comparison": {"contender": contender, "baseline": "erm"},
        "model": {"_target_": "bayesft.models.MLP", "hidden": [8], "dropout": 0.0},
        "method": {"_target_": "bayesft.methods.ERM"},
        "data": {"_target_": "bayesft.data.DigitsDataModule", "split_seed": 0},
        "drift": {"_target_": "bayesft.drift.LogNormalDrift", "target": "all"},
        "evaluation": {
            "sigmas": list(SIGMAS),
            "validation": {"seed": 1},
            "objective": {"seed": 2},
            "test": {"seed": 3},
        },
        "trainer": {"max_epochs": 10},
        "callbacks": {"model_checkpoint": {"monitor": "val/drift_acc", "mode": "max"}},
    }
    for part, values in settings.items():
        config[part] = config.get(part, {}) | values
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if score is not None:
        curve(score, chips=chips).to_json(run / "test_curve.json")
        if seconds is not None:
            Cost(10, 1, seconds, "a machine", 1).write(run)
    if own_chip is not None:
        write_scores({"test/acc": 0.9, own_chip_key({}): own_chip}, run)
    return run
