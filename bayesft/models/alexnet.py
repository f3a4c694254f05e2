"""AlexNet, for small images."""

from torch import Tensor, nn

from bayesft.models.initial import he_normal
from bayesft.models.layers import check_image_size, conv_block, linear_block

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
        check_image_size(image_size, _SMALLEST_IMAGE, "AlexNet")
        layers = {"norm": norm, "activation": activation}
        self.features = nn.Sequential(
            *conv_block(channels, 64, 3, stride=2, **layers),
            nn.MaxPool2d(2),
            *conv_block(64, 192, 3, **layers),
            nn.MaxPool2d(2),
            *conv_block(192, 384, 3, **layers),
            *conv_block(384, 256, 3, **layers),
            *conv_block(256, 256, 3, **layers),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(_POOLED),
        )
        self.classifier = nn.Sequential(
            *linear_block(256 * _POOLED**2, width, **layers),
            *linear_block(width, width, **layers),
            nn.Linear(width, num_classes),
        )
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))
