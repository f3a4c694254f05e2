"""Training for one chip whose variation is known."""

from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from bayesft.drift import Drift
from bayesft.errors import SettingError
from bayesft.methods.one_chip import OneChip
from bayesft.methods.settings import check_part, epochs_of
from bayesft.tasks import Task


class ReRAMV(OneChip):
    r"""Fits the network to the variation map of one chip.

    After a phase of plain training each weight matrix W (outputs × inputs) is placed on the
    chip: its inputs are assigned to the chip's rows such that

    .. math:: \sum_{o,i} |W_{oi}| \, |f_{o \pi(i)} - 1|

    is as small as it can be, where f are the factors of the chip's cells: large weights
    stay off bad cells (of a drift that does not multiply, what it makes of weights of 1: a
    heuristic there). Then the network is trained on as the chip has it. At the
    start of each epoch the entries that vary most, :math:`|W (f - 1)|`, are halved and
    frozen, as long as the accuracy on the chip (validation images) grows.

    It is for its own chip; see `OneChip` for what it logs.

    Source: Chen et al., "Accelerator-friendly Neural-network Training: Learning Variations and
    Defects in RRAM Crossbar", DATE 2017. Deviations: a part of the entries is frozen at a
    time and not one, so that it ends in a usual number of epochs; biases and norms, which
    are no matrices, drift but are neither assigned nor frozen.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        drift: what happens to a weight.
        sigma: the strength of the variation.
        chip_seed: the chip's family; not that of any evaluation.
        chip_index: its number there.
        plain: which part of the epochs is plain training, from 0 to below 1.
        frozen_per_epoch: which part of each matrix is frozen at a time (at least one
            entry), from 0 to below 1; 0 freezes none.
        patience: freezing ends when so many epochs in a row brought no better accuracy.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    settled: Tensor
    best: Tensor
    waited: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        drift: Drift,
        sigma: float = 0.9,
        chip_seed: int = 2_000,
        chip_index: int = 0,
        plain: float = 0.5,
        frozen_per_epoch: float = 0.001,
        patience: int = 3,
        **settings: Any,
    ) -> None:
        super().__init__(
            model, task=task, drift=drift, sigma=sigma, chip_seed=chip_seed,
            chip_index=chip_index, plain=plain, **settings,
        )  # fmt: skip
        self.frozen_per_epoch = check_part("frozen_per_epoch", frozen_per_epoch)
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise SettingError(
                f"Expected `method.patience` to be an integer of at least 1, but got {patience!r}."
            )
        self.patience = patience
        # All of it is state, so that a checkpoint goes on where it was.
        self.register_buffer("settled", torch.tensor(False))
        self.register_buffer("best", torch.tensor(-1.0))
        self.register_buffer("waited", torch.tensor(0))
        for number, weight in enumerate(self._matrices.values()):
            self.register_buffer(f"row{number}", torch.arange(weight[0].numel()))
            self.register_buffer(f"frozen{number}", torch.zeros_like(weight, dtype=torch.bool))

    def training_loss(self, images: Any, targets: Any) -> Tensor:
        if not self.assigned:
            return super().training_loss(images, targets)
        return self.loss_at(self.on_chip(), images, targets)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch < epochs_of(self.plain, self.trainer):
            return
        if not self.assigned:
            self._assign()
        elif not self.settled:
            self._freeze()

    def on_validation_epoch_end(self) -> None:
        if not self.assigned or self.settled or self.trainer.state.fn != "fit":
            return
        score = self.own_val_meters[self.task.name].compute()
        if score > self.best:
            self.best.copy_(score)
            self.waited.zero_()
        else:
            self.waited += 1
        self.settled.fill_(bool(self.waited >= self.patience))

    def _frozen(self) -> dict[str, Tensor]:
        return {
            name: getattr(self, f"frozen{number}") for number, name in enumerate(self._matrices)
        }

    def _placed(self, number: int, normals: Tensor) -> Tensor:
        return normals[:, getattr(self, f"row{number}")]

    @torch.no_grad()
    def _assign(self) -> None:
        normals = self._normals()
        for number, (name, weight) in enumerate(self._matrices.items()):
            factors = self.drift(torch.ones_like(weight), normals[name], self.sigma)
            rows = assigned_rows(weight.flatten(1), factors.flatten(1))
            getattr(self, f"row{number}").copy_(rows)
        self.assigned.fill_(True)

    @torch.no_grad()
    def _freeze(self) -> None:
        drifted = self.on_chip()
        matrices = self._matrices
        for name, frozen in self._frozen().items():
            weight = matrices[name]
            count = round(self.frozen_per_epoch * weight.numel()) or bool(self.frozen_per_epoch)
            variation = (drifted[name] - weight).abs().masked_fill(frozen, -1)
            worst = variation.flatten().topk(min(int(count), int((~frozen).sum()))).indices
            # In the matrix's logical order, whatever its order in memory.
            chosen = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
            chosen[worst] = True
            chosen = chosen.view(weight.shape)
            weight[chosen] *= 0.5
            frozen |= chosen


def assigned_rows(weight: Tensor, factors: Tensor) -> Tensor:
    """Return for each input the chip's row that it is assigned to, int64, shape `(inputs,)`.

    Args:
        weight: outputs × inputs.
        factors: of the chip's cells, outputs × rows, as many rows as inputs.
    """
    costs = weight.abs().T.double() @ (factors - 1).abs().double()
    _, rows = linear_sum_assignment(costs.cpu().numpy())
    return torch.from_numpy(rows).to(weight.device)
