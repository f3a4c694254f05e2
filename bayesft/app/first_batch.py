"""A look at loaders, and at the first batch of each, before the network meets it."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from bayesft.app.loaders import check_counts, check_test_loader
from bayesft.errors import SettingError, reason_of
from bayesft.models.probe import probing


class FirstBatch(pl.Callback):
    """Tell in words what is wrong with loaders and batches of a data module, such as one's own.

    The task says what form batches should have. Images of another size than the data's settings
    say, or of other numbers than the network's, are wrong if the network cannot take them. The
    targets of all batches are looked at, if they are in the CPU's memory: to ask a GPU for them
    would make each step wait.

    Args:
        image_shape: channels, height and width by the settings; None where they do not tell.
    """

    def __init__(self, image_shape: tuple[int, int, int] | None) -> None:
        self._image_shape = image_shape
        self._seen: set[str] = set()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.datamodule is not None:
            check_test_loader(trainer.datamodule)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning trains without a validation where there are no batches.
        if trainer.val_dataloaders is not None:
            check_counts(trainer.num_val_batches, "val_dataloader")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        check_counts(trainer.num_val_batches, "val_dataloader")

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        check_counts(trainer.num_test_batches, "test_dataloader")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Nor does it start a training without them, and calls it a finished one.
        if trainer.train_dataloader is not None:
            check_counts([trainer.num_training_batches], "train_dataloader")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._look(trainer, pl_module, batch, "train_dataloader", training=True)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look(trainer, pl_module, batch, "val_dataloader")

    def on_test_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look(trainer, pl_module, batch, "test_dataloader")

    def _look(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        batch: Any,
        source: str,
        *,
        training: bool = False,
    ) -> None:
        if source in self._seen:
            module.task.check_targets(batch[1], source)
            return
        self._seen.add(source)
        module.task.check_batch(batch, source, training=training)
        images = batch[0]
        if not isinstance(images, Tensor) or images.ndim < 2:
            return
        with trainer.precision_plugin.forward_context():
            if self._image_shape is not None:
                self._check_size(module, images, source)
            _check_kind(module.model, images, source)

    def _check_size(self, module: pl.LightningModule, images: Tensor, source: str) -> None:
        shape = tuple(images.shape[1:])
        if shape == self._image_shape:
            return
        try:
            with probing(module.model, shape) as zeros:
                module.model(zeros)
        except SettingError as error:
            said = reason_of(error.__cause__ or error)
            declared, got = ("×".join(map(str, each)) for each in (self._image_shape, shape))
            raise SettingError(
                f"Expected images of {declared} from `{source}`, as `data.channels` and "
                f"`data.image_size` say, but got {got}, which {type(module.model).__name__} cannot "
                f"take ({said}). Correct the settings, or what the data module gives."
            ) from error


def _check_kind(model: nn.Module, images: Tensor, source: str) -> None:
    """Raise `SettingError` if the images' numbers are not the weights' and cannot be taken."""
    kinds = (each.dtype for each in model.parameters())
    kind = next((each for each in kinds if each.is_floating_point), images.dtype)
    if images.dtype == kind:
        return
    try:
        with probing(model, tuple(images.shape[1:])) as zeros:
            model(zeros.to(images.dtype))
    except SettingError as error:
        said = reason_of(error.__cause__ or error)
        scaled = "" if images.dtype.is_floating_point else " / 255, if they are from 0 to 255"
        remedy = f"images.float(){scaled}"
        if kind != torch.float32:
            remedy += ", and the network .float()"
        raise SettingError(
            f"Expected images of {kind} from `{source}`, as the weights of {type(model).__name__} "
            f"are, but got {images.dtype}, which it cannot take ({said}). "
            f"Have the data set give {remedy}."
        ) from error
