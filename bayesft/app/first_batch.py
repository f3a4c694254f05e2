"""A look at the first batch of each loader, before the network meets it."""

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from bayesft.errors import SettingError, reason_of
from bayesft.models.probe import probing


class FirstBatch(pl.Callback):
    """Tell in words what is wrong with batches of a data module, such as one's own.

    The task says what form they should have. Images of another size than the data's settings
    say are wrong if the network cannot take them.

    Args:
        image_shape: channels, height and width by the settings; None where they do not tell.
    """

    def __init__(self, image_shape: tuple[int, int, int] | None) -> None:
        self._image_shape = image_shape
        self._seen: set[str] = set()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._look(pl_module, batch, "train_dataloader", training=True)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look(pl_module, batch, "val_dataloader")

    def on_test_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._look(pl_module, batch, "test_dataloader")

    def _look(
        self, module: pl.LightningModule, batch: Any, source: str, *, training: bool = False
    ) -> None:
        if source in self._seen:
            return
        self._seen.add(source)
        module.task.check_batch(batch, source, training=training)
        images = batch[0]
        if self._image_shape is None or not isinstance(images, Tensor):
            return
        shape = tuple(images.shape[1:])
        if shape == self._image_shape:
            return
        try:
            with probing(module.model, shape) as zeros:
                module.model(zeros)
        except SettingError as error:
            declared, got = ("×".join(map(str, each)) for each in (self._image_shape, shape))
            raise SettingError(
                f"Expected images of {declared} from `{source}`, as `data.channels` and "
                f"`data.image_size` say, but got {got}, which {type(module.model).__name__} cannot "
                f"take ({reason_of(error.__cause__)}). Correct the settings, or what the data "
                "module gives."
            ) from error
