"""VGG-11, for small images."""

from torch import Tensor, nn

from bayesft.models.initial import he_normal
from bayesft.models.layers import check_image_size, conv_block

# Channels of the convolutions of each stage; each stage ends in 2×2 max pooling.
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_SMALLEST_IMAGE = 2 ** len(_STAGES)


class VGG11(nn.Module):
    """VGG-11: eight 3×3 convolutions in five stages, and a linear layer.

    Convolution, norm, activation; 2×2 max pooling at the end of each stage, and the mean
    over what places are left.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015, configuration A. Deviations, usual on 32 pixels: one
    linear layer in place of three, and `norm`; no dropout of its own (see `add_sites`).

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels, at least 32.
        num_classes: logits.
        activation: relu, elu, gelu, leaky_relu or tanh.
        norm: none, batch, layer, group or instance; see `norm_layer`.

    Raises:
        SettingError: images too small, or an unknown layer.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        image_size: int = 32,
        num_classes: int = 10,
        activation: str = "relu",
        norm: str = "none",
    ) -> None:
        super().__init__()
        check_image_size(image_size, _SMALLEST_IMAGE, "VGG-11")
        layers: list[nn.Module] = []
        inputs = channels
        for stage in _STAGES:
            for outputs in stage:
                layers += conv_block(inputs, outputs, 3, norm=norm, activation=activation)
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).mean((2, 3)))
