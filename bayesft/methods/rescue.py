"""Training around the stuck cells of one chip."""

from typing import Any

import torch
from torch import Tensor, nn

from bayesft.drift import StuckAtDrift, seeded_generator
from bayesft.errors import SettingError
from bayesft.methods.one_chip import OneChip
from bayesft.methods.remapping import faults as faults_of
from bayesft.methods.remapping import harms, remapped
from bayesft.methods.settings import epochs_of
from bayesft.tasks import Task


class Rescue(OneChip):
    r"""Keeps significant weights off the stuck cells of one chip, and trains the others.

    In the last epoch of a phase of plain training it gathers how much each weight matters,
    :math:`|\partial L / \partial w|` averaged over the training's batches. Then the outputs and
    inputs of each weight matrix are assigned to the columns and rows of the chip such that
    the harm :math:`\sum |\partial L / \partial w| \, |v - w|` over the weights w on cells that are
    stuck at v is small: for a cell without conductance that is the significance of its
    weight, :math:`|w \, \partial L / \partial w|`. A chip has `spare_columns` more columns than a
    matrix has outputs, with stuck cells of their own, and the worst columns stay unused.

    From there on the weights on stuck cells are what their cells are, no gradient reaches
    them, and the others are trained on. Of a layer with a cell that is stuck at its largest
    magnitude, no weight grows beyond that: it is what the layer was scaled to.

    Rows and columns are in another order on the chip alone; what the network computes is not
    touched. It is for its own chip; see `OneChip` for what it logs.

    Source: Liu et al., "Rescuing Memristor-based Neuromorphic Design with High Defects", DAC
    2017. Deviations: there the defects under the most significant weights move to spare
    columns, after the retraining; here all rows and columns are assigned, before it, and
    spare columns are more of them to choose from. Biases and norms, which are no matrices,
    may be stuck but are not assigned. With `plain=0` no derivatives are known, and all
    count the same; and a bias that begins as zeros stays so if one of its cells is stuck at its
    largest magnitude.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        faults: of its chip.
        sigma: the part of its chip's cells that is stuck.
        chip_seed: the chip's family; not that of any evaluation.
        chip_index: its number there.
        plain: which part of the epochs is plain training, from 0 to below 1.
        spare_columns: of each matrix, 0 or more.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    drift: StuckAtDrift

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        faults: StuckAtDrift,
        sigma: float = 0.1,
        chip_seed: int = 2_000,
        chip_index: int = 0,
        plain: float = 0.5,
        spare_columns: int = 0,
        **settings: Any,
    ) -> None:
        if not isinstance(faults, StuckAtDrift):
            raise SettingError(
                "Expected `method.faults` to be stuck cells, bayesft.drift.StuckAtDrift, but got "
                f"{faults!r}. For another drift there is method=reram_v."
            )
        super().__init__(
            model, task=task, drift=faults, sigma=sigma, chip_seed=chip_seed,
            chip_index=chip_index, plain=plain, **settings,
        )  # fmt: skip
        whole = isinstance(spare_columns, int) and not isinstance(spare_columns, bool)
        if not whole or spare_columns < 0:
            raise SettingError(
                "Expected `method.spare_columns` to be an integer, 0 or larger, but got "
                f"{spare_columns!r}."
            )
        self.spare_columns = spare_columns
        # All of it is state, so that a checkpoint goes on where it was.
        for number, weight in enumerate(self._matrices.values()):
            self.register_buffer(f"column{number}", torch.arange(len(weight)))
            self.register_buffer(f"row{number}", torch.arange(weight[0].numel()))
            self.register_buffer(f"slope{number}", torch.zeros_like(weight))
        for number, weight in enumerate(faults.parameters(model).values()):
            self.register_buffer(f"stuck{number}", torch.zeros_like(weight, dtype=torch.bool))
            self.register_buffer(f"limit{number}", torch.tensor(torch.finfo(weight.dtype).max))

    def on_train_epoch_start(self) -> None:
        if not self.assigned and self.current_epoch >= epochs_of(self.plain, self.trainer):
            self._assign()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.assigned:
            weights = self.drift.parameters(self.model)
            for name, stuck in self._frozen().items():
                # Or it would count where gradients are clipped.
                if weights[name].grad is not None:
                    weights[name].grad.masked_fill_(stuck, 0.0)
        elif self.current_epoch + 1 == epochs_of(self.plain, self.trainer):
            for number, weight in enumerate(self._matrices.values()):
                if weight.grad is not None:
                    slope = torch.nan_to_num(weight.grad.abs(), nan=0.0, posinf=0.0)
                    getattr(self, f"slope{number}").add_(slope)

    def optimizer_step(self, *args: Any, **settings: Any) -> None:
        super().optimizer_step(*args, **settings)
        if self.assigned:
            with torch.no_grad():
                for number, weight in enumerate(self.drift.parameters(self.model).values()):
                    limit = getattr(self, f"limit{number}")
                    weight.clamp_(-limit, limit)

    def _frozen(self) -> dict[str, Tensor]:
        names = self.drift.parameters(self.model)
        return {name: getattr(self, f"stuck{number}") for number, name in enumerate(names)}

    def _placed(self, number: int, normals: Tensor) -> Tensor:
        columns = self._with_spare(number, normals)[getattr(self, f"column{number}")]
        return columns[:, getattr(self, f"row{number}")]

    def _with_spare(self, number: int, normals: Tensor) -> Tensor:
        """Return normals (outputs × inputs) with those of the spare columns below."""
        # A chip's own normals depend on how many there are.
        generator = seeded_generator(self.chip.seed, self.chip.index, "spare columns", number)
        spare = torch.empty(self.spare_columns, normals.shape[1]).normal_(generator=generator)
        return torch.cat([normals, spare.to(normals)])

    @torch.no_grad()
    def _assign(self) -> None:
        weights = self.drift.parameters(self.model)
        normals = self.chip.normals(weights)
        for number, (name, weight) in enumerate(self._matrices.items()):
            slope = getattr(self, f"slope{number}")
            slope = slope if slope.any() else torch.ones_like(slope)
            cells = self._with_spare(number, normals[name].flatten(1))
            columns, rows = remapped(
                harms(weight.flatten(1), slope.flatten(1)),
                faults_of(*self.drift.cells(cells, self.sigma)),
            )
            getattr(self, f"column{number}").copy_(columns)
            getattr(self, f"row{number}").copy_(rows)
        normals = self._normals()
        for number, (name, weight) in enumerate(weights.items()):
            stuck, level = self.drift.cells(normals[name], self.sigma)
            getattr(self, f"stuck{number}").copy_(stuck)
            if level.any():
                getattr(self, f"limit{number}").copy_(weight.abs().amax())
            weight.copy_(self.drift(weight, normals[name], self.sigma))
        self.assigned.fill_(True)
