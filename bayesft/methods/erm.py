"""Plain training, and what the other methods build on."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from bayesft.errors import SettingError, reason_of
from bayesft.methods.elsewhere import outputs_at
from bayesft.models.dropout import Rates, get_dropout, set_dropout, site_names
from bayesft.robustness.batches import form_of
from bayesft.tasks import Task


class ERM(pl.LightningModule):
    """Empirical risk minimisation: the task's loss on clean weights.

    The dropout vector is a parameter of the module: it can be read and set at any
    time, and stands in the hyper-parameters of checkpoints and loggers.

    Args:
        model: what the task expects, such as a map from images to logits.
        task: what its outputs mean; the loss and the score.
        dropout: a rate, a vector, or a mapping from site to rate; None leaves the
            model's own rates.
        optimizer: a function of the parameters, e.g. `partial(torch.optim.Adam, lr=0.01)`;
            Adam with PyTorch's defaults if None.
        scheduler: a function of the optimizer. One that takes `total_steps`
            (OneCycle) is given the number of steps of the training and
            moves every step; any other moves every epoch. None for a constant rate. Not
            ReduceLROnPlateau.

    Raises:
        SettingError: rates that do not fit the model's sites.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        dropout: Rates | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        if dropout is not None:
            set_dropout(model, dropout)
        self.model = model
        self.task = task
        self._optimizer = optimizer or torch.optim.Adam
        self._scheduler = scheduler
        self.val_meters = nn.ModuleDict(task.meters())
        self.test_meters = nn.ModuleDict(task.meters())
        self.save_hyperparameters(
            {
                "method": type(self).__name__.lower(),
                "model": type(model).__name__,
                "task": type(task).__name__.lower(),
                "num_classes": task.num_classes,
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

    def forward(self, images: Any) -> Any:
        return self.model(images)

    def training_loss(self, images: Any, targets: Any) -> Tensor:
        """Return the scalar whose gradient a training step takes. Methods override this."""
        return self.loss_at({}, images, targets)

    def loss_at(
        self,
        weights: Mapping[str, Tensor],
        images: Any,
        targets: Any,
        *,
        keep_statistics: bool = False,
    ) -> Tensor:
        """Return the task's loss with some of the network's weights exchanged; see `outputs_at`."""
        inputs = self.task.inputs(images, targets)
        outputs = outputs_at(self.model, weights, *inputs, keep_statistics=keep_statistics)
        return self.task.loss(outputs, targets)

    def training_step(self, batch: tuple[Any, Any], batch_idx: int) -> Tensor:
        images, targets = batch
        loss = self.training_loss(images, targets)
        if not isinstance(loss, Tensor) or loss.ndim:
            raise SettingError(
                f"Expected the loss of {type(self).__name__} with {type(self.task).__name__} to be "
                f"one number, a tensor of shape (), but got {form_of(loss)}. Have it average over "
                "the batch: loss.mean()."
            )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(targets))
        return loss

    @property
    def progress(self) -> float:
        """How much of the training is done, from 0 to 1, by optimiser steps.

        Raises:
            SettingError: the training has no end.
        """
        return min(1.0, self.global_step / self._total_steps())

    def validation_step(self, batch: tuple[Any, Any], batch_idx: int) -> None:
        images, targets = batch
        outputs = self(images)
        loss = self.task.validation_loss(outputs, targets)
        if loss is not None:
            self.log("val/loss", loss, batch_size=len(targets))
        self.meter("val/", self.val_meters, outputs, targets)

    def test_step(self, batch: tuple[Any, Any], batch_idx: int) -> None:
        images, targets = batch
        self.meter("test/", self.test_meters, self(images), targets)

    def meter(self, prefix: str, meters: nn.ModuleDict, outputs: Any, targets: Any) -> None:
        """Show a batch's outputs to the meters, and log them with a prefix to their names."""
        for name, meter in meters.items():
            meter.update(outputs, targets)
            shown = name == self.task.name
            self.log(f"{prefix}{name}", meter, prog_bar=shown, batch_size=len(targets))

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self._optimizer(self.parameters())
        except (TypeError, ValueError) as error:
            given = getattr(self._optimizer, "keywords", {})
            raise SettingError(
                f"`optimizer` cannot be made ({reason_of(error)}) with {given}. Expected the "
                "settings of a torch.optim class: optimizer.lr=0.001."
            ) from error
        if self._scheduler is None:
            return optimizer
        if "total_steps" not in inspect.signature(self._scheduler).parameters:
            schedule = self._scheduler(optimizer)
            if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
                # Lightning moves it after the checkpoint is written.
                raise SettingError(
                    "A learning rate that waits for a plateau (ReduceLROnPlateau) is not taken: a "
                    "training that is stopped would not go on as it began. Let `scheduler` depend "
                    "on epochs or steps alone: OneCycleLR, CosineAnnealingLR, MultiStepLR."
                )
            return {"optimizer": optimizer, "lr_scheduler": schedule}
        schedule = self._scheduler(optimizer, total_steps=self._total_steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if steps == 0:
            raise SettingError(
                "Expected `train_dataloader` to give batches, but it gives none. Give its data set "
                "images; with drop_last=True there must be as many as batch_size at least."
            )
        # Lightning's -1 is of a training set that does not tell its length.
        if not math.isfinite(steps) or steps < 0:
            unknown = self.trainer.max_epochs not in (None, -1)
            remedy = (
                "`train_dataloader` does not tell how many batches it gives: set trainer.max_steps "
                "or trainer.limit_train_batches"
                if unknown
                else "Set trainer.max_epochs or trainer.max_steps"
            )
            raise SettingError(
                "The schedule of the learning rate, or a method's ramp, needs to know how long the "
                f"training is. {remedy}, or do without: scheduler=none, method.ramp=0."
            )
        return int(steps)
