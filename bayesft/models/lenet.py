"""LeNet-5."""

import torch
from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.dropout import Rates, set_dropout
from bayesft.models.layers import check_image_size, conv_block, dropout_layer, linear_block

_SMALLEST_IMAGE = 12
_DEPTH = 5


class LeNet5(nn.Module):
    """LeNet-5 with a dropout site behind each of its layers.

    Convolutions are 5×5 convolution, norm, activation, 2×2 max pooling, dropout;
    hidden linear layers are linear, norm, activation, dropout; the last is linear,
    dropout. The sites are `conv1`, `conv2`, `fc1`, `fc2` and `fc3`, the last of
    them on the logits. A `depth` above 5 inserts `conv3` and so on behind `conv2`:
    3×3 convolutions of 16 channels, padded, without pooling. On feature maps
    whole channels are dropped: a weight of a convolution that drifts is wrong at
    every place of its channel at once.

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
        depth: convolutions and linear layers together, at least 5. Those that are
            inserted are initialised last, so that the others start with the weights
            that they have without them.
        norm: none, batch, layer, group or instance; see `norm_layer`.
        dropout_type: dropout or alpha; see `dropout_layer`.
        dropout: a rate, a vector, or a mapping from site to rate.

    Raises:
        SettingError: images too small, a depth below 5, an unknown layer, or rates that
            do not fit.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        activation: str = "relu",
        norm: str = "none",
        depth: int = 5,
        dropout_type: str = "dropout",
        dropout: Rates = 0.0,
    ) -> None:
        super().__init__()
        check_image_size(image_size, _SMALLEST_IMAGE, "LeNet-5", try_size=28)
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < _DEPTH:
            raise SettingError(
                f"Expected `model.depth` of LeNet-5 to be an integer of at least {_DEPTH}, but got "
                f"{depth!r}. The study of LeNet-5 is experiment=factors_lenet5."
            )
        side = (image_size // 2 - 4) // 2
        convolutions = [f"conv{number}" for number in range(1, depth - 2)]

        layers = {"norm": norm, "activation": activation}

        def convolution(
            inputs: int, outputs: int, *, size: int = 5, padding: int = 0, pooled: bool = True
        ) -> nn.Sequential:
            block = conv_block(inputs, outputs, size, padding=padding, **layers)
            return nn.Sequential(*block, *([nn.MaxPool2d(2)] if pooled else []))

        def linear(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(*linear_block(inputs, outputs, **layers))

        self.conv1 = convolution(channels, 6, padding=2)
        self.conv2 = convolution(6, 16)
        self.fc1 = linear(16 * side * side, 120)
        self.fc2 = linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        for name in convolutions[2:]:
            self.add_module(name, convolution(16, 16, size=3, padding=1, pooled=False))
        self._convolutions = tuple(convolutions)
        self.dropout = nn.ModuleDict(
            {name: dropout_layer(dropout_type, images=True) for name in convolutions}
        )
        self.dropout.update({name: dropout_layer(dropout_type) for name in ("fc1", "fc2", "fc3")})
        set_dropout(self, dropout)
        # Convolutions of few channels run 1.5 times as fast on a CPU in this format.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for name in self._convolutions:
            features = self.dropout[name](self.get_submodule(name)(features))
        features = self.dropout["fc1"](self.fc1(features.flatten(1)))
        features = self.dropout["fc2"](self.fc2(features))
        return self.dropout["fc3"](self.fc3(features))
