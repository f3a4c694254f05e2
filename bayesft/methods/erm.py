"""Plain training, and what the other methods build on."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from bayesft.errors import SettingError
from bayesft.models.dropout import Rates, get_dropout, set_dropout, site_names


class ERM(pl.LightningModule):
    """Empirical risk minimisation: cross-entropy on clean weights.

    The dropout vector is a parameter of the module: it can be read and set at any
    time, and stands in the hyper-parameters of checkpoints and loggers.

    Args:
        model: maps images to logits of shape `(n, num_classes)`.
        num_classes: classes.
        dropout: a rate, a vector, or a mapping from site to rate; None leaves the
            model's own rates.
        optimizer: a function of the parameters, e.g. `partial(torch.optim.Adam, lr=0.01)`;
            Adam with PyTorch's defaults if None.
        scheduler: a function of the optimizer. One that takes `total_steps`
            (OneCycle) is given the number of steps of the training and
            moves every step; any other moves every epoch. None for a constant rate.

    Raises:
        SettingError: rates that do not fit the model's sites.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        dropout: Rates | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        if dropout is not None:
            set_dropout(model, dropout)
        self.model = model
        self._optimizer = optimizer or torch.optim.Adam
        self._scheduler = scheduler
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.save_hyperparameters(
            {
                "method": type(self).__name__.lower(),
                "model": type(model).__name__,
                "num_classes": num_classes,
                "sites": list(site_names(model)),
                "dropout": list(get_dropout(model)),
            }
        )

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout vector, one rate per site."""
        return get_dropout(self.model)

    @dropout.setter
    def dropout(self, rates: Rates) -> None:
        set_dropout(self.model, rates)
        self.hparams.dropout = list(get_dropout(self.model))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What training minimises: a scalar."""
        return nn.functional.cross_entropy(logits, labels)

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar whose gradient a training step takes. Methods override this."""
        return self.loss(self(images), labels)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.training_loss(*batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    @property
    def progress(self) -> float:
        """How much of the training is done, from 0 to 1, by optimiser steps.

        Raises:
            SettingError: the training has no end.
        """
        return min(1.0, self.global_step / self._total_steps())

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self(images)
        self.val_accuracy(logits, labels)
        self.log("val/loss", self.loss(logits, labels), batch_size=len(labels))
        self.log("val/acc", self.val_accuracy, prog_bar=True, batch_size=len(labels))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.test_accuracy(self(images), labels)
        self.log("test/acc", self.test_accuracy, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        if "total_steps" not in inspect.signature(self._scheduler).parameters:
            return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer)}
        schedule = self._scheduler(optimizer, total_steps=self._total_steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise SettingError(
                "The schedule of the learning rate, or a method's ramp, needs to know how long the "
                "training is. Set trainer.max_epochs or trainer.max_steps, or do without: "
                "scheduler=none, method.ramp=0."
            )
        return int(steps)
