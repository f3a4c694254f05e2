"""Small trainings that take a second."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from bayesft.data import DigitsDataModule
from bayesft.methods import ERM
from bayesft.models import MLP
from bayesft.tasks import Classification

ONE_CYCLE = functools.partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.01)


def digits(**settings: Any) -> DigitsDataModule:
    defaults = {"image_size": 8, "val_size": 360, "batch_size": 256, "shuffle_seed": 0}
    return DigitsDataModule(**defaults | settings)


def erm(*, hidden: tuple[int, ...] = (16,), dropout: Any = 0.2, **settings: Any) -> ERM:
    torch.manual_seed(0)
    model = MLP(image_size=8, hidden=hidden)
    return ERM(model, task=Classification(10), dropout=dropout, **settings)


def cut_and_resumed(
    make: Callable[[], pl.LightningModule], folder: Path, *, stop_at: int, max_epochs: int
) -> pl.LightningModule:
    """Return a module whose training ended early, after epoch `stop_at`, and went on in another."""
    first, cut = make(), trainer(folder, max_epochs=max_epochs)

    def stop() -> None:
        cut.should_stop = first.current_epoch == stop_at

    first.on_train_epoch_end = stop
    cut.fit(first, digits())
    cut.save_checkpoint(folder / "cut.ckpt")
    second, again = make(), trainer(folder, max_epochs=max_epochs)
    again.fit(second, digits(), ckpt_path=folder / "cut.ckpt", weights_only=True)
    return second


def trainer(folder: Any, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
    }
    return pl.Trainer(**defaults | settings, callbacks=list(callbacks))
