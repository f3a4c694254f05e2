"""What a small detector sees an image through: feature maps of two sizes."""

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from bayesft.models.layers import conv_block

MAPS = ("0", "1")
"""The names of the feature maps, the finer one first."""


class SmallBackbone(nn.Module):
    """Six convolutions and a feature pyramid of two maps, for images of 32 to 128 pixels.

    Shapes: images `(n, channels, h, w)` to a dict of two maps of `out_channels`,
    `(h / 4, w / 4)` and `(h / 8, w / 8)`.

    Args:
        channels: of the images.
        width: channels of the first stage; the others have two and four times as many.
        out_channels: of the maps.
        norm: none, batch, layer, group or instance; see `norm_layer`.
        activation: see `activation_layer`.

    Raises:
        SettingError: an unknown norm or activation.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        width: int = 16,
        out_channels: int = 32,
        norm: str = "none",
        activation: str = "relu",
    ) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int, *strides: int) -> nn.Sequential:
            layers = {"norm": norm, "activation": activation}
            widths = [inputs, *[outputs] * len(strides)]
            return nn.Sequential(
                *(
                    nn.Sequential(*conv_block(before, after, 3, stride=stride, **layers))
                    for before, after, stride in zip(widths, widths[1:], strides, strict=False)
                )
            )

        self.stage1 = stage(channels, width, 1, 2)
        self.stage2 = stage(width, 2 * width, 2, 1)
        self.stage3 = stage(2 * width, 4 * width, 2, 1)
        self.pyramid = FeaturePyramidNetwork([2 * width, 4 * width], out_channels)
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        fine = self.stage2(self.stage1(images))
        return self.pyramid(dict(zip(MAPS, (fine, self.stage3(fine)), strict=True)))
