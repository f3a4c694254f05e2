"""The traffic-sign network with a spatial transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bayesft.models.initial import he_normal
from bayesft.models.layers import check_image_size, conv_block, linear_block

_SMALLEST_IMAGE = 16
# How far an entry of the affine map can be from the identity's.
_REACH = 2.0


class TrafficSignNet(nn.Module):
    """Three convolutions and two linear layers behind a spatial transformer.

    A localisation network of two convolutions and two linear layers gives six numbers, an
    affine map by which the image is sampled. It starts as the identity.

    A drifted localisation network gives any numbers at all. Each entry of the map is
    therefore kept within 2 of the identity's by a tanh, and one that is not a number
    counts as the identity's: the sampling grid stays finite on every chip.

    Source: Jaderberg et al., "Spatial Transformer Networks", 2015, in front of the network of
    Ciresan et al., "Multi-column Deep Neural Network for Traffic Sign Classification",
    2012 (one column). Deviations: 3×3 and 5×5 kernels with padding, ReLU, the bound
    above.

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels, at least 16.
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
        num_classes: int = 43,
        activation: str = "relu",
        norm: str = "none",
    ) -> None:
        super().__init__()
        check_image_size(image_size, _SMALLEST_IMAGE, "TrafficSignNet")
        layers = {"norm": norm, "activation": activation}

        def convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
            return [*conv_block(inputs, outputs, kernel, **layers), nn.MaxPool2d(2)]

        quarter, eighth = image_size // 4, image_size // 8
        self.localisation = nn.Sequential(
            *convolution(channels, 16, 5),
            *convolution(16, 32, 5),
            nn.Flatten(),
            *linear_block(32 * quarter**2, 64, **layers),
            nn.Linear(64, 6),
        )
        self.features = nn.Sequential(
            *convolution(channels, 100, 5), *convolution(100, 150, 3), *convolution(150, 250, 3)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), *linear_block(250 * eighth**2, 300, **layers), nn.Linear(300, num_classes)
        )
        he_normal(self)
        nn.init.zeros_(self.localisation[-1].weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(self.straighten(images)))

    def straighten(self, images: Tensor) -> Tensor:
        """Return the images as the spatial transformer samples them, of the same shape."""
        grid = F.affine_grid(self.affine_map(images), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)

    def affine_map(self, images: Tensor) -> Tensor:
        """Return the bounded affine map of each image, shape `(n, 2, 3)`."""
        offset = torch.nan_to_num(self.localisation(images)).view(-1, 2, 3)
        identity = torch.eye(2, 3, dtype=offset.dtype, device=offset.device)
        return identity + _REACH * torch.tanh(offset / _REACH)
