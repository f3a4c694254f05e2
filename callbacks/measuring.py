"""The score under drift of a module in the middle of a Lightning loop."""

import functools
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from bayesft.drift import Drift
from bayesft.errors import SettingError
from bayesft.robustness import Curve, Score, accuracy, evaluate
from bayesft.tasks import Task


def measure(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    loader: DataLoader,
    drift: Drift,
    sigmas: Sequence[float],
    *,
    score: Score | None = None,
    **settings: Any,
) -> Curve:
    """Return `evaluate(module, loader, drift, sigmas, **settings)` as a loop of `trainer`'s would.

    The score is that of the module's task unless another is given.
    Batches pass the module's hooks and the precision plugin; with several devices the
    draws are divided over them, and every process gets the whole curve.
    """
    with trainer.precision_plugin.forward_context():
        return evaluate(
            module,
            loader,
            drift,
            sigmas,
            score=score or _score_of(module),
            prepare=functools.partial(_as_in_a_loop, trainer, module),
            distributed=trainer.world_size > 1,
            **settings,
        )


def only_loader(loaders: Any, stage: str, who: str) -> DataLoader:
    """Return the one loader among `loaders`.

    Raises:
        SettingError: there is none or several; which one a score is of would be a guess.
    """
    found = loaders if isinstance(loaders, (list, tuple)) else [loaders]
    found = [each for each in found if each is not None]
    if len(found) != 1:
        raise SettingError(
            f"{who} expects one {stage} loader, but got {len(found)}. "
            + (
                "Evaluate the others with `bayesft.robustness.evaluate`."
                if found
                else f"Give the data module a {stage} loader, and do not switch it off."
            )
        )
    return found[0]


def score_name(module: pl.LightningModule) -> str:
    """Return what logs call the score of the module's task; `acc` of one without a task."""
    task = getattr(module, "task", None)
    return task.name if isinstance(task, Task) else "acc"


def _score_of(module: pl.LightningModule) -> Score:
    task = getattr(module, "task", None)
    return task.score if isinstance(task, Task) else accuracy


def _as_in_a_loop(trainer: pl.Trainer, module: pl.LightningModule, batch: Any) -> Any:
    """Return `batch` as Lightning's loops hand it to a step: its hooks and precision applied."""
    batch = trainer.precision_plugin.convert_input(batch)
    batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
