"""Drift curves in Weights & Biases."""

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from bayesft.robustness import Curve
from callbacks.drift_evaluation import DriftEvaluation


class WandbDriftCurve(pl.Callback):
    """Log the last validation curve and the test curve as W&B tables and line plots.

    The curves are those of the trainer's `DriftEvaluation`. Without a
    `WandbLogger` this does nothing.
    """

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for evaluation in _evaluations(trainer):
            _log(trainer, "val", evaluation.val_curve)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for evaluation in _evaluations(trainer):
            _log(trainer, "test", evaluation.test_curve)


def _evaluations(trainer: pl.Trainer) -> list[DriftEvaluation]:
    return [callback for callback in trainer.callbacks if isinstance(callback, DriftEvaluation)]


def _log(trainer: pl.Trainer, stage: str, curve: Curve | None) -> None:
    if curve is None or not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            columns = ["sigma", "mean", "stderr", "quantile05"]
            rows = [[getattr(point, column) for column in columns] for point in curve.points]
            table = wandb.Table(columns=columns, data=rows)
            title = f"{stage} score under drift"
            plot = wandb.plot.line(table, "sigma", "mean", title=title)
            logger.experiment.log({f"{stage}/drift_curve": plot})
