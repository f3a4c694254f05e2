"""Evaluating under drift as a config says."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from bayesft.app.build import build_drift
from bayesft.robustness import Curve, evaluate
from bayesft.robustness.amount import amount
from bayesft.robustness.backends import AUTO


def measured(
    cfg: DictConfig, purpose: str, module: pl.LightningModule, loader: Any, sigmas: Sequence[float]
) -> Curve:
    """Return the curve of `module` with the chips and the amount of `cfg.evaluation[purpose]`.

    A run of an earlier version had no `backend` there.
    """
    return evaluate(
        module,
        loader,
        build_drift(cfg),
        list(sigmas),
        score=module.task.score,
        backend=cfg.evaluation.get("backend", AUTO),
        seed=cfg.evaluation[purpose].seed,
        **evaluation_amount(cfg, purpose),
    )


def evaluation_amount(cfg: DictConfig, purpose: str) -> dict[str, Any]:
    """Return how much is evaluated for `purpose`, as `bayesft.robustness.evaluate` takes it.

    Raises:
        SettingError: a setting has a value that it cannot have.
    """
    settings = cfg.evaluation[purpose]
    return amount(
        settings.draws,
        settings.images_per_draw,
        settings.target_stderr,
        prefix=f"evaluation.{purpose}.",
    )
