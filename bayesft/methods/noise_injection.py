"""Training under the drift that is to come."""

from typing import Any

from torch import Tensor, nn

from bayesft.drift import Chip, Drift
from bayesft.errors import SettingError
from bayesft.methods.erm import ERM
from bayesft.methods.settings import check_part
from bayesft.tasks import Task


class NoiseInjection(ERM):
    r"""Each training step sees the network on a chip of its own.

    .. math:: \min_w \; E_z \, L(\text{drift}(w, z, \sigma_t))

    with one draw z per step, and the gradient of this very loss (what a drift takes as given, as
    `PCMDrift` its errors' sizes, left out): for log-normal drift the
    gradient at the drifted weight times the weight's factor. Chip number k is drawn in step
    k, so a resumed training goes on with the chips that it would have met.

    Log-normal drift multiplies by exp(sigma^2 / 2) on the average, and at sigma of 1 and
    more its largest factors make the loss diverge. Two remedies: `ramp`, sigma grows from
    0; and `mean_corrected`, drifted weights are divided by the drift's mean factor, in
    training alone.

    Source: training with weight noise is Murray and Edwards, "Enhanced MLP performance and
    fault tolerance resulting from synaptic weight noise during training", 1994.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        drift: what happens to a weight.
        sigma: the strength at the end of the ramp, 0 or larger.
        ramp: over which part of the training sigma grows linearly from 0, in [0, 1]; 0 for
            a constant sigma.
        mean_corrected: divide drifted weights by the drift's mean factor.
        chip_seed: of the training's chips; not that of any evaluation.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        drift: Drift,
        sigma: float = 0.6,
        ramp: float = 1.0,
        mean_corrected: bool = False,
        chip_seed: int = 1_000,
        **settings: Any,
    ) -> None:
        super().__init__(model, task=task, **settings)
        self.sigma = drift.check(sigma)
        self.drift = drift
        self.ramp = check_part("ramp", ramp, whole=True)
        self.mean_corrected = mean_corrected
        if mean_corrected and not drift.gain(self.sigma) > 0:
            raise SettingError(
                f"`mean_corrected` divides by the drift's mean factor, which is "
                f"{drift.gain(self.sigma):g} for {type(drift).__name__} at sigma {self.sigma:g}. "
                "Set method.mean_corrected=false, or a smaller method.sigma."
            )
        self.chip_seed = Chip(chip_seed, 0).seed

    @property
    def present_sigma(self) -> float:
        """The strength of the drift in the present step."""
        if self.ramp == 0:
            return self.sigma
        return self.sigma * min(1.0, self.progress / self.ramp)

    def training_loss(self, images: Any, targets: Any) -> Tensor:
        sigma = self.present_sigma
        self.log("train/sigma", sigma)
        # Each of several processes has a chip of its own.
        index = self.global_step * self.trainer.world_size + self.global_rank
        weights = self.drift.parameters(self.model)
        normals = Chip(self.chip_seed, index).normals(weights)
        gain = self.drift.gain(sigma) if self.mean_corrected else 1.0
        drifted = {
            name: self.drift(weight, normals[name], sigma) / gain
            for name, weight in weights.items()
        }
        return self.loss_at(drifted, images, targets)
