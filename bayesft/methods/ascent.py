"""Training at the worst weights nearby: AWP, SAM and SAMSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.methods.elsewhere import gradients
from bayesft.methods.erm import ERM
from bayesft.methods.settings import check_positive
from bayesft.tasks import Task

_TINY = 1e-12

Tensors = Mapping[str, Tensor]


class Ascent(ERM, ABC):
    """The base of the methods that train at weights moved uphill.

    Each step computes the gradient on its images, moves the weights along it as `offsets`
    says, and takes the gradient *there* for the step of the weights as they are. The
    network's weights are never written in between, so they are the same to the bit; running
    statistics of norms are those of the second pass. A step costs two passes.
    """

    @abstractmethod
    def offsets(self, weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
        """Return by how much each weight is moved, given the gradients of the loss."""

    def climbs(self, name: str, weight: Tensor) -> bool:
        """Whether a parameter is moved."""
        return weight.requires_grad

    def training_loss(self, images: Any, targets: Any) -> Tensor:
        weights = {n: w for n, w in self.model.named_parameters() if self.climbs(n, w)}
        first = self.loss_at({}, images, targets, keep_statistics=True)
        uphill = gradients(first, weights)
        with torch.no_grad():
            moves = self.offsets(weights, uphill)
        moved = {name: weight + moves[name] for name, weight in weights.items()}
        return self.loss_at(moved, images, targets)


class AWP(Ascent):
    r"""Adversarial weight perturbation, on clean images.

    .. math:: v_l = \gamma \, \lVert w_l \rVert \, g_l / \lVert g_l \rVert

    for each weight tensor l of two axes and more (biases and norms stay): one step
    uphill of a length relative to the layer's own.

    Source: Wu, Xia and Wang, "Adversarial Weight Perturbation Helps Robust Generalization",
    NeurIPS 2020, Eq. 8 to 10 with one step. Deviation: the images are not adversarial, since
    here weights are what goes wrong.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        gamma: the relative length, above 0.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(
        self, model: nn.Module, *, task: Task, gamma: float = 0.05, **settings: Any
    ) -> None:
        super().__init__(model, task=task, **settings)
        self.gamma = check_positive("gamma", gamma)

    def climbs(self, name: str, weight: Tensor) -> bool:
        return super().climbs(name, weight) and weight.ndim > 1

    def offsets(self, weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
        return {
            name: self.gamma * weight.norm() / (gradients[name].norm() + _TINY) * gradients[name]
            for name, weight in weights.items()
        }


class SAM(Ascent):
    r"""Sharpness-aware minimisation.

    .. math:: \epsilon = \rho \, g / \lVert g \rVert_2

    over all parameters together.

    Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
    Generalization", ICLR 2021, Eq. 2 with p = 2.

    Args:
        model: see `ERM`.
        task: see `ERM`.
        rho: the radius, above 0.
        settings: see `ERM`.

    Raises:
        SettingError: a setting that cannot be.
    """

    def __init__(self, model: nn.Module, *, task: Task, rho: float = 0.05, **settings: Any) -> None:
        super().__init__(model, task=task, **settings)
        self.rho = check_positive("rho", rho)

    def scales(self, weights: Tensors) -> dict[str, Tensor | float]:
        """Return in which unit each weight is moved."""
        return dict.fromkeys(weights, 1.0)

    def offsets(self, weights: Tensors, gradients: Tensors) -> dict[str, Tensor]:
        scales = self.scales(weights)
        scaled = {name: scales[name] * gradient for name, gradient in gradients.items()}
        length = torch.stack([each.norm() for each in scaled.values()]).norm() + _TINY
        return {name: self.rho * scales[name] * each / length for name, each in scaled.items()}


class SAMSON(SAM):
    r"""Sharpness-aware minimisation in units of each weight's share of its layer's largest.

    .. math:: \epsilon = \rho \, T^2 g / \lVert T g \rVert_2, \qquad
              T_i = |w_i| / \max_j |w_j|

    with the maximum over the weight's own tensor. A large weight, which multiplicative
    drift moves most, is moved most, whatever the scale of its layer.

    Source: Mordido et al., "SAMSON: Sharpness-Aware Minimization Scaled by Outlier
    Normalization for Improving DNN Generalization and Robustness", 2022: the perturbation of
    a weight depends on its magnitude and on the range of its layer's weights; the range is
    taken as the largest magnitude here.

    Args: see `SAM`.
    """

    def scales(self, weights: Tensors) -> dict[str, Tensor | float]:
        return {
            name: weight.abs() / (weight.abs().max() + _TINY) for name, weight in weights.items()
        }
