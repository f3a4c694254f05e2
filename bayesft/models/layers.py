"""The layers that a config chooses by name."""

from torch import nn

from bayesft.errors import SettingError

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}

NORMS = ("none", "batch", "layer")


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

    `layer` over feature maps normalises all channels and places of an image
    together, as `GroupNorm` with one group.

    Raises:
        SettingError: `name` is not known; the message lists those that are.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
    if name == "layer":
        return nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
    raise SettingError(f"Expected `model.norm` to be one of {', '.join(NORMS)}, but got {name!r}.")
