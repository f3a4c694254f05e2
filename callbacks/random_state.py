"""The random numbers of a training that is cut and goes on."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class RandomState(pl.Callback):
    """Keep the global random state in the checkpoints, and take it up again.

    Lightning's checkpoints hold no random state: dropout masks after a resume would be
    other ones. With it a training that goes on from the end of an epoch gives the
    weights that it would have given without the cut, on a CPU to the bit. In a training
    on several devices the first process's state is kept, and the others' are not.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            "python": [version, list(numbers), gauss],
            # As checkpoints are read without unpickling arbitrary objects.
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # A training that goes on inside of an epoch starts none.
        self._restore(trainer)

    def _restore(self, trainer: pl.Trainer) -> None:
        state, self._loaded = self._loaded, None
        if state is None or not trainer.is_global_zero:
            return
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
