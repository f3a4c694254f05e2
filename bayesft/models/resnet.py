"""Residual networks for small images: ResNet-18, and the pre-activation family."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.initial import damp, he_normal
from bayesft.models.layers import activation_layer, check_image_size, conv_block, norm_layer

_SMALLEST_IMAGE = 8
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4

Layers = Callable[[int], nn.Module]
"""From a width to a new norm over it."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each with its norm behind it, and the sum with the input.

    The second activation stands behind the sum.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, norm: Layers, activation: Callable
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1)
        self.norm1 = norm(width)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = norm(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride=stride), norm(width))
        self.act2 = activation()

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.act1(self.norm1(self.conv1(maps)))
        return self.act2(self.norm2(self.conv2(branch)) + self.shortcut(maps))


class PreActBasicBlock(nn.Module):
    """Two 3×3 convolutions, each with norm and activation before it, and the sum."""

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, norm: Layers, activation: Callable
    ) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.act1 = activation()
        self.shortcut = _projection(inputs, width, stride)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1)
        self.norm2 = norm(width)
        self.act2 = activation()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        ready = self.act1(self.norm1(maps))
        branch = self.conv2(self.act2(self.norm2(self.conv1(ready))))
        return branch + (maps if self.shortcut is None else self.shortcut(ready))


class PreActBottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, each with norm and activation before it, and the sum."""

    expansion = _EXPANSION

    def __init__(
        self, inputs: int, width: int, stride: int, norm: Layers, activation: Callable
    ) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.norm1 = norm(inputs)
        self.act1 = activation()
        self.shortcut = _projection(inputs, outputs, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.norm2 = norm(width)
        self.act2 = activation()
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1)
        self.norm3 = norm(width)
        self.act3 = activation()
        self.conv3 = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        ready = self.act1(self.norm1(maps))
        branch = self.conv1(ready)
        branch = self.conv2(self.act2(self.norm2(branch)))
        branch = self.conv3(self.act3(self.norm3(branch)))
        return branch + (maps if self.shortcut is None else self.shortcut(ready))


# Depth to kind of block, and how many of it in each stage.
_DEPTHS: dict[int, tuple[type[nn.Module], Sequence[int]]] = {
    18: (PreActBasicBlock, (2, 2, 2, 2)),
    34: (PreActBasicBlock, (3, 4, 6, 3)),
    50: (PreActBottleneck, (3, 4, 6, 3)),
    152: (PreActBottleneck, (3, 8, 36, 3)),
}


class ResNet18(nn.Module):
    """ResNet-18 with a 3×3 stem, as is usual on 32 pixels.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016. Deviations: the
    stem has stride 1 and no pooling; convolutions have a bias, so that `norm=none` has
    the same weights as any norm; branches start small (see `damp`).

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels, at least 8.
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
        norm: str = "batch",
    ) -> None:
        super().__init__()
        check_image_size(image_size, _SMALLEST_IMAGE, "ResNet-18")

        def new_norm(width: int) -> nn.Module:
            return norm_layer(norm, width, images=True)

        def new_activation() -> nn.Module:
            return activation_layer(activation)

        stem = conv_block(channels, _WIDTHS[0], 3, norm=norm, activation=activation)
        self.stem = nn.Sequential(*stem)
        self.stages = nn.Sequential()
        inputs = _WIDTHS[0]
        for number, width in enumerate(_WIDTHS):
            stride = 1 if number == 0 else 2
            self.stages.append(
                nn.Sequential(
                    BasicBlock(inputs, width, stride, new_norm, new_activation),
                    BasicBlock(width, width, 1, new_norm, new_activation),
                )
            )
            inputs = width
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)
        blocks = [block for stage in self.stages for block in stage]
        for block in blocks:
            damp(block.conv2, branches=len(blocks))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.stages(self.stem(images)).mean((2, 3)))


class PreActResNet(nn.Module):
    """The pre-activation ResNet with a 3×3 stem, as is usual on 32 pixels.

    Its blocks and depths are those of ResNet-18 and -34 (`PreActBasicBlock`), -50 and -152
    (`PreActBottleneck`); a last norm and activation stand before the mean over all places.

    Source: He et al., "Identity Mappings in Deep Residual Networks", 2016. Deviations as in
    `ResNet18`.

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        depth: 18, 34, 50 or 152.
        channels: of the images.
        image_size: their height and width in pixels, at least 8.
        num_classes: logits.
        activation: relu, elu, gelu, leaky_relu or tanh.
        norm: none, batch, layer, group or instance; see `norm_layer`.

    Raises:
        SettingError: another depth, images too small, or an unknown layer.
    """

    def __init__(
        self,
        *,
        depth: int = 18,
        channels: int = 3,
        image_size: int = 32,
        num_classes: int = 10,
        activation: str = "relu",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise SettingError(
                f"Expected `model.depth` to be one of {', '.join(map(str, _DEPTHS))}, "
                f"but got {depth!r}."
            )
        check_image_size(image_size, _SMALLEST_IMAGE, f"PreActResNet-{depth}")
        kind, lengths = _DEPTHS[depth]

        def new_norm(width: int) -> nn.Module:
            return norm_layer(norm, width, images=True)

        def new_activation() -> nn.Module:
            return activation_layer(activation)

        self.stem = nn.Conv2d(channels, _WIDTHS[0], 3, padding=1)
        self.stages = nn.Sequential()
        inputs = _WIDTHS[0]
        for number, (width, length) in enumerate(zip(_WIDTHS, lengths, strict=True)):
            stage = nn.Sequential()
            for place in range(length):
                stride = 2 if number > 0 and place == 0 else 1
                stage.append(kind(inputs, width, stride, new_norm, new_activation))
                inputs = width * kind.expansion
            self.stages.append(stage)
        self.norm = new_norm(inputs)
        self.act = new_activation()
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)
        for stage in self.stages:
            for block in stage:
                last = block.conv3 if kind is PreActBottleneck else block.conv2
                damp(last, branches=sum(lengths))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.norm(self.stages(self.stem(images))))
        return self.classifier(maps.mean((2, 3)))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Conv2d | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Conv2d(inputs, outputs, 1, stride=stride)
