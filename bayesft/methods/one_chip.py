"""What methods that fit a network to one known chip have in common."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.drift import Chip, Drift
from bayesft.methods.elsewhere import outputs_at
from bayesft.methods.erm import ERM
from bayesft.methods.settings import check_part
from bayesft.tasks import Task


class OneChip(ERM, ABC):
    """A network on a chip that is known, where some of its entries are frozen.

    It logs the score of the network as the chip has it, `val/own_chip_acc` and
    `test/own_chip_acc` where the task is classification, and the former is what a checkpoint
    should be chosen by: on other chips, which a drift evaluation draws, the network is what
    it was not made for.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        drift: what happens to a weight.
        sigma: its strength.
        chip_seed: the chip's family; not that of any evaluation.
        chip_index: its number there.
        plain: which part of the epochs is plain training, from 0 to below 1.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    assigned: Tensor
    freezes_weights = True

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        drift: Drift,
        sigma: float,
        chip_seed: int,
        chip_index: int,
        plain: float,
        **settings: Any,
    ) -> None:
        super().__init__(model, task=task, **settings)
        self.drift = drift
        self.sigma = drift.check(sigma)
        self.chip = Chip(chip_seed, chip_index)
        self._drawn: tuple[torch.device, dict[str, Tensor]] | None = None
        self.plain = check_part("plain", plain)
        # Whether the network has its places on the chip: state, for a checkpoint to go on.
        self.register_buffer("assigned", torch.tensor(False))
        self.own_val_meters = nn.ModuleDict(task.meters())
        self.own_test_meters = nn.ModuleDict(task.meters())

    @abstractmethod
    def _frozen(self) -> dict[str, Tensor]:
        """Return by name which entries of a weight an optimiser's step leaves as they are."""

    @abstractmethod
    def _placed(self, number: int, normals: Tensor) -> Tensor:
        """Return the normals of the cells that hold a matrix, in the matrix's order.

        Args:
            number: of the matrix.
            normals: outputs × inputs, of the chip's cells in their own order.
        """

    def on_chip(self) -> dict[str, Tensor]:
        """Return the weights as the chip has them, by name; gradients pass, but to frozen ones."""
        normals, frozen = self._normals(), self._frozen()
        drifted = {}
        for name, weight in self.drift.parameters(self.model).items():
            free = weight
            if name in frozen:
                free = torch.where(frozen[name], weight.detach(), weight)
            drifted[name] = self.drift(free, normals[name], self.sigma)
        return drifted

    def optimizer_step(self, *args: Any, **settings: Any) -> None:
        # Momentum and weight decay move what has no gradient.
        weights = self.drift.parameters(self.model)
        kept = [
            (weights[name], frozen, weights[name].detach()[frozen].clone())
            for name, frozen in self._frozen().items()
        ]
        super().optimizer_step(*args, **settings)
        with torch.no_grad():
            for weight, frozen, values in kept:
                weight[frozen] = values

    def validation_step(self, batch: tuple[Any, Any], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self._meter_own_chip("val/", self.own_val_meters, *batch)

    def test_step(self, batch: tuple[Any, Any], batch_idx: int) -> None:
        super().test_step(batch, batch_idx)
        self._meter_own_chip("test/", self.own_test_meters, *batch)

    def _meter_own_chip(self, stage: str, meters: nn.ModuleDict, images: Any, targets: Any) -> None:
        outputs = outputs_at(self.model, self.on_chip(), images)
        self.meter(f"{stage}own_chip_", meters, outputs, targets)

    @property
    def _matrices(self) -> dict[str, nn.Parameter]:
        found = self.drift.parameters(self.model)
        return {name: weight for name, weight in found.items() if weight.ndim > 1}

    def _normals(self) -> dict[str, Tensor]:
        """Return the chip's normals by weight, each matrix's where it is placed."""
        weights = self.drift.parameters(self.model)
        device = next(iter(weights.values())).device
        if self._drawn is None or self._drawn[0] != device:
            # Each step asks for them, and to draw them takes long beside the rest of it.
            self._drawn = device, self.chip.normals(weights)
        # A drift may write to what it is given.
        normals = {name: each.clone() for name, each in self._drawn[1].items()}
        for number, name in enumerate(self._matrices):
            cells = self._placed(number, normals[name].flatten(1))
            normals[name] = cells.view_as(normals[name])
        return normals
