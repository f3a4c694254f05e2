"""The multi-layer perceptron of the paper's study, in any size."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.dropout import Rates, set_dropout
from bayesft.models.layers import activation_layer, norm_layer


class MLP(nn.Module):
    """Linear layers, each with a dropout site behind it.

    Hidden layer i is linear, norm, activation, dropout; the last is linear,
    dropout. The sites are `fc1` ... `fcN`, the last of them on the logits.

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels.
        num_classes: logits.
        hidden: the widths of the hidden layers; the paper's network is (192, 32)
            on 784 inputs. Its number is the depth.
        activation: relu, elu, gelu, leaky_relu or tanh.
        norm: none, batch, layer, group or instance; see `norm_layer`.
        dropout: a rate, a vector, or a mapping from site to rate.

    Raises:
        SettingError: a size below 1, an unknown layer, or rates that do not fit.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        hidden: Sequence[int] = (192, 32),
        activation: str = "relu",
        norm: str = "none",
        dropout: Rates = 0.0,
    ) -> None:
        super().__init__()
        widths = [channels * image_size**2, *hidden, num_classes]
        if any(not isinstance(width, int) or width < 1 for width in widths):
            raise SettingError(
                f"Expected the widths of the MLP to be integers of at least 1, but got {widths} "
                "(inputs, `model.hidden`, classes)."
            )
        self.layers = nn.ModuleList()
        self.dropout = nn.ModuleDict()
        for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
            layer = nn.Sequential(nn.Linear(inputs, outputs))
            if number <= len(hidden):
                layer.append(norm_layer(norm, outputs))
                layer.append(activation_layer(activation))
            self.layers.append(layer)
            self.dropout[f"fc{number}"] = nn.Dropout()
        set_dropout(self, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        for layer, dropout in zip(self.layers, self.dropout.values(), strict=True):
            features = dropout(layer(features))
        return features
