"""Measuring what a training takes."""

import platform
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from bayesft.report.cost import Cost


class TrainingCost(pl.Callback):
    """Write `cost.json` when a training ends; see `bayesft.report.cost.Cost`.

    The time is kept in the checkpoints, so that a training which was cut and goes on
    counts what led to its weights, once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = 0.0
        self._begun: float | None = None
        self._passes = 0
        self._counter: Any = None

    @property
    def seconds(self) -> float:
        """How long the training has taken so far."""
        running = 0.0 if self._begun is None else time.monotonic() - self._begun
        return self._before + running

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "passes": self._passes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before, self._passes = state_dict["seconds"], state_dict["passes"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not `on_fit_start`: a training that goes on from its end has nothing to add.
        self._begun = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._passes == 0:
            network = getattr(pl_module, "model", pl_module)
            self._counter = network.register_forward_pre_hook(self._count)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # One step tells, and the others are not to be slower for it.
        self._forget()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._forget()
        self._before, self._begun = self.seconds, None

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._forget()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            device = _name_of(trainer.strategy.root_device)
            threads = torch.get_num_threads()
            Cost(trainer.current_epoch, self._passes, self.seconds, device, threads).write(
                self.folder
            )

    def _count(self, *called: Any) -> None:
        self._passes += 1

    def _forget(self) -> None:
        if self._counter is not None:
            self._counter.remove()
            self._counter = None


def _name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _processor() if device.type == "cpu" else device.type


def _processor() -> str:
    # On Linux `platform.processor` is empty or the architecture alone.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine() or "cpu"
