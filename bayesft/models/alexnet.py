"""AlexNet, for small images."""

from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.initial import he_normal
from bayesft.models.layers import activation_layer, norm_layer

_SMALLEST_IMAGE = 20
_POOLED = 2


class AlexNet(nn.Module):
    """AlexNet's five convolutions and three linear layers on images from 20 pixels on.

    Convolution or linear layer, norm, activation; 2×2 max pooling behind the first, second
    and fifth convolution.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012. Deviations, so that it fits 32 pixels: 3×3 kernels, stride 2
    in the first, pooling without overlap, the channels of "One weird trick" (2014) as
    torchvision has them, `width` units in the hidden linear layers in place of 4096; no local
    response normalisation, but `norm`; no dropout of its own (see `add_sites`).

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels.
        num_classes: logits.
        width: of the hidden linear layers.
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
        width: int = 1024,
        activation: str = "relu",
        norm: str = "none",
    ) -> None:
        super().__init__()
        if image_size < _SMALLEST_IMAGE:
            raise SettingError(
                f"AlexNet needs images of at least {_SMALLEST_IMAGE}×{_SMALLEST_IMAGE} pixels, but "
                f"`model.image_size` is {image_size}. Set data.image_size=32."
            )

        def convolution(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
            return [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
                norm_layer(norm, outputs, images=True),
                activation_layer(activation),
            ]

        def linear(inputs: int, outputs: int) -> list[nn.Module]:
            return [
                nn.Linear(inputs, outputs),
                norm_layer(norm, outputs),
                activation_layer(activation),
            ]

        self.features = nn.Sequential(
            *convolution(channels, 64, stride=2),
            nn.MaxPool2d(2),
            *convolution(64, 192),
            nn.MaxPool2d(2),
            *convolution(192, 384),
            *convolution(384, 256),
            *convolution(256, 256),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(_POOLED),
        )
        self.classifier = nn.Sequential(
            *linear(256 * _POOLED**2, width), *linear(width, width), nn.Linear(width, num_classes)
        )
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))
