"""A picture of what a detector finds as its weights drift."""

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger
from torch import nn
from torch.utils.data import DataLoader

from bayesft.drift import Chip, Drift
from bayesft.errors import SettingError
from bayesft.report.examples import FILE, first_examples
from bayesft.report.examples_figure import PICTURE, draw_examples
from bayesft.robustness.amount import check_count
from bayesft.tasks import Detection, Task
from callbacks.measuring import only_loader


class ExampleDetections(pl.Callback):
    """Write `example_detections.png` at test end, and to W&B where that is the logger.

    It shows the first test images on one chip at each sigma. What it was drawn from lies
    beside it, for reports that put several networks side by side.

    Args:
        drift: what happens to a weight.
        sigmas: the strengths, a column each.
        images: how many.
        seed: of the chip.
        output_dir: where it is written; the trainer's `default_root_dir` if None.

    Raises:
        SettingError: a setting that cannot be; before a training, a task that has no boxes.
    """

    def __init__(
        self,
        drift: Drift,
        *,
        sigmas: Sequence[float] = (0.0, 0.3, 0.6),
        images: int = 3,
        seed: int = 4,
        output_dir: str | Path | None = None,
    ) -> None:
        self.drift = drift
        self.sigmas = tuple(drift.check(sigma) for sigma in sigmas)
        if not self.sigmas:
            raise SettingError(
                "Expected callbacks.example_detections.sigmas to name a strength, but got []."
            )
        self.images = check_count("callbacks.example_detections.images", images)
        self.chip = Chip(seed, 0)
        self.output_dir = output_dir

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        task = getattr(pl_module, "task", None)
        if isinstance(task, Task) and not isinstance(task, Detection):
            raise SettingError(
                "ExampleDetections shows boxes, but this task is "
                f"{type(task).__name__.lower()}. Leave it out (callbacks=default), or use data "
                "for detection (data=digits_detection)."
            )

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        loader = only_loader(trainer.test_dataloaders, "test", "ExampleDetections")
        picture = self.write(pl_module, loader, self.output_dir or trainer.default_root_dir)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("test/example_detections", [str(picture)])

    def write(self, module: nn.Module, loader: DataLoader, folder: str | Path) -> Path:
        """Write the examples of `module` and their picture to `folder`; return the picture's path.

        Args:
            module: a detector.
            loader: of the images.
            folder: is made where it is missing.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        examples = first_examples(
            module, loader, self.drift, self.sigmas, self.chip, count=self.images
        )
        examples.save(folder / FILE)
        draw_examples({"": examples}, folder / PICTURE)
        return folder / PICTURE
