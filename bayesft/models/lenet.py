"""LeNet-5."""

import torch
from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.dropout import Rates, set_dropout
from bayesft.models.layers import activation_layer, norm_layer

_SMALLEST_IMAGE = 12


class LeNet5(nn.Module):
    """LeNet-5 with a dropout site behind each of its five layers.

    Convolutions are 5×5 convolution, norm, activation, 2×2 max pooling, dropout;
    hidden linear layers are linear, norm, activation, dropout; the last is linear,
    dropout. The sites are `conv1`, `conv2`, `fc1`, `fc2` and `fc3`, the last of
    them on the logits. On feature maps whole channels are dropped: a weight of a
    convolution that drifts is wrong at every place of its channel at once.

    Source: LeCun et al., "Gradient-based learning applied to document
    recognition", 1998. Deviations, all usual today: max pooling, ReLU, dense
    connections between the convolutions, logits in place of the Gaussian layer,
    and a first convolution padded by 2, so that 28-pixel images fit.

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels, at least 12.
        num_classes: logits.
        activation: relu, elu, gelu, leaky_relu or tanh.
        norm: none, batch, layer, group or instance; see `norm_layer`.
        dropout: a rate, a vector, or a mapping from site to rate.

    Raises:
        SettingError: images too small, an unknown layer, or rates that do not fit.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        activation: str = "relu",
        norm: str = "none",
        dropout: Rates = 0.0,
    ) -> None:
        super().__init__()
        if image_size < _SMALLEST_IMAGE:
            raise SettingError(
                f"LeNet-5 needs images of at least {_SMALLEST_IMAGE}×{_SMALLEST_IMAGE} pixels, but "
                f"`model.image_size` is {image_size}. Use model=mlp, or larger images: "
                "data.image_size=28."
            )
        side = (image_size // 2 - 4) // 2

        def convolution(inputs: int, outputs: int, padding: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 5, padding=padding),
                norm_layer(norm, outputs, images=True),
                activation_layer(activation),
                nn.MaxPool2d(2),
            )

        def linear(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, outputs), norm_layer(norm, outputs), activation_layer(activation)
            )

        self.conv1 = convolution(channels, 6, 2)
        self.conv2 = convolution(6, 16, 0)
        self.fc1 = linear(16 * side * side, 120)
        self.fc2 = linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.dropout = nn.ModuleDict({name: nn.Dropout2d() for name in ("conv1", "conv2")})
        self.dropout.update({name: nn.Dropout() for name in ("fc1", "fc2", "fc3")})
        set_dropout(self, dropout)
        # Convolutions of few channels run 1.5 times as fast on a CPU in this format.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout["conv1"](self.conv1(images))
        features = self.dropout["conv2"](self.conv2(features)).flatten(1)
        features = self.dropout["fc1"](self.fc1(features))
        features = self.dropout["fc2"](self.fc2(features))
        return self.dropout["fc3"](self.fc3(features))
