"""The layers that a config chooses by name."""

import math

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from bayesft.errors import SettingError

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}

NORMS = ("none", "batch", "layer", "group", "instance")

# For vectors, and for feature maps, of which whole channels are dropped.
_DROPOUTS: dict[str, tuple[type[_DropoutNd], type[_DropoutNd]]] = {
    "dropout": (nn.Dropout, nn.Dropout2d),
    "alpha": (nn.AlphaDropout, nn.FeatureAlphaDropout),
}

# Of channels; as many of them as divide the width.
_GROUPS = 32
# Features of a vector in a group. One alone would become 0, whatever it was, and two ±1.
_SMALLEST_GROUP = 8


def activation_layer(name: str) -> nn.Module:
    """Return a new activation.

    Raises:
        SettingError: `name` is not known; the message lists those that are.
    """
    if name not in _ACTIVATIONS:
        raise SettingError(
            f"Expected `model.activation` to be one of {', '.join(_ACTIVATIONS)}, but got {name!r}."
        )
    return _ACTIVATIONS[name]()


def norm_layer(name: str, width: int, *, images: bool = False) -> nn.Module:
    """Return a new normalisation over `width` features, or `width` channels of feature maps.

    Each starts as scale 1 and shift 0 and draws no random number, so that networks that
    differ in their norm alone start with the same weights.

    Args:
        name: `none`; `batch` (Ioffe and Szegedy, 2015); `layer` (Ba et al., 2016), over
            all channels and places of an image together; `group` (Wu and He, 2018), in
            gcd(width, 32) groups of channels, or for vectors in as many of at least 8
            features; `instance` (Ulyanov et al., 2016), each channel of an image by
            itself. A vector has one value per channel, which that would turn into 0: there
            `instance` takes the vector as one channel, without a scale and a shift for
            each feature.
        width: features or channels.
        images: whether the input is feature maps, `(n, width, h, w)`, or `(n, width)`.

    Raises:
        SettingError: `name` is not known; the message lists those that are.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
    if name == "layer":
        return nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
    if name == "group":
        return nn.GroupNorm(_groups(width, images=images), width)
    if name == "instance":
        if images:
            return nn.InstanceNorm2d(width, affine=True)
        return nn.LayerNorm(width, elementwise_affine=False)
    raise SettingError(f"Expected `model.norm` to be one of {', '.join(NORMS)}, but got {name!r}.")


def conv_block(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    norm: str,
    activation: str,
    stride: int = 1,
    padding: int | None = None,
) -> list[nn.Module]:
    """Return a convolution, its norm and its activation; padded to keep the size by default."""
    return [
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=kernel // 2 if padding is None else padding,
        ),
        norm_layer(norm, outputs, images=True),
        activation_layer(activation),
    ]


def linear_block(inputs: int, outputs: int, *, norm: str, activation: str) -> list[nn.Module]:
    """Return a linear layer, its norm and its activation."""
    return [nn.Linear(inputs, outputs), norm_layer(norm, outputs), activation_layer(activation)]


def check_image_size(image_size: int, least: int, name: str, *, try_size: int = 32) -> None:
    """Raise `SettingError` if images are smaller than network `name` can take.

    Args:
        image_size: height and width in pixels.
        least: the smallest that it takes.
        name: of the network, for the message.
        try_size: what the message proposes.
    """
    if not isinstance(image_size, int) or image_size < least:
        raise SettingError(
            f"{name} needs images of at least {least}×{least} pixels, but `model.image_size` is "
            f"{image_size!r}. Use larger images, data.image_size={try_size}, or model=mlp."
        )


def _groups(width: int, *, images: bool) -> int:
    """Return the number of groups of channels or features, a power of two."""
    groups = math.gcd(width, _GROUPS)
    while not images and groups > 1 and width // groups < _SMALLEST_GROUP:
        groups //= 2
    return groups


def dropout_layer(name: str, *, images: bool = False) -> _DropoutNd:
    """Return a new dropout site; its rate is set afterwards.

    Args:
        name: `dropout` (Srivastava et al., 2014), or `alpha` (Klambauer et al., 2017),
            which sets what it drops to the lower bound of a SELU, not to 0, and keeps
            the mean and the variance of inputs that have mean 0 and variance 1.
        images: whether the input is feature maps, of which whole channels are dropped.

    Raises:
        SettingError: `name` is not known; the message lists those that are.
    """
    if name not in _DROPOUTS:
        raise SettingError(
            f"Expected `model.dropout_type` to be one of {', '.join(_DROPOUTS)}, but got {name!r}."
        )
    return _DROPOUTS[name][images]()
