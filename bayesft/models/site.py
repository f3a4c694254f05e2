"""A dropout site that was added to a network: a rate, and the hooks that apply it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from bayesft.errors import SettingError
from bayesft.models.blocks import Host


@dataclass(eq=False)
class Site:
    """One rate for one or several places of a network.

    Attributes:
        name: of the site.
        position: in the vector.
        p: the rate, which every place reads when it drops.
    """

    name: str
    position: int
    p: float = 0.0


class Drop:
    """A hook that drops of what a module takes or returns, with the rate of a site.

    On a feature map whole channels are dropped, in other values single numbers. It acts
    while the layer whose block it ends is in training mode, as an `nn.Dropout` beside that
    layer would. It is no module: the network's modules stay as they are, and a
    `Sequential` does not run it.

    Args:
        site: whose rate it is.
        layer: with the block's weights.
        channel_axis: of a feature map; None for vectors and tokens.
    """

    def __init__(self, site: Site, layer: nn.Module, channel_axis: int | None) -> None:
        self.site = site
        self.layer = layer
        self.channel_axis = channel_axis

    def __call__(self, module: nn.Module, args: tuple, *returned: Any) -> Any:
        value = returned[0] if returned else args
        if isinstance(value, tuple):
            # Arguments, or what attention returns: the value and its weights.
            return (self._drop(value[0]), *value[1:])
        return self._drop(value)

    def _drop(self, value: Tensor) -> Tensor:
        rate, training = self.site.p, self.layer.training
        if self.channel_axis is None:
            return nn.functional.dropout(value, rate, training)
        channels_second = value.movedim(self.channel_axis, 1)
        dropped = torch.feature_dropout(channels_second, rate, training)
        return dropped.movedim(1, self.channel_axis)


def hang(drop: Drop, host: Host) -> None:
    """Let `drop` act at `host`."""
    if host.before:
        host.module.register_forward_pre_hook(drop)
    else:
        host.module.register_forward_hook(drop)


def added_sites(model: nn.Module) -> dict[str, Site]:
    """Return the sites that were added to `model` by name, in the order of the vector.

    Raises:
        SettingError: sites of one name were added to two of its parts.
    """
    found = {id(drop.site): drop.site for _, _, drop in drops(model)}
    sites = sorted(found.values(), key=lambda site: site.position)
    by_name = {site.name: site for site in sites}
    if len(by_name) < len(sites):
        raise SettingError(
            f"Sites were added to two parts of {type(model).__name__}, and have the same names "
            f"({', '.join(by_name)}). Add them to the whole network, or ask each part."
        )
    return by_name


def remove_sites(model: nn.Module) -> None:
    """Take the added sites away again, if any, and switch the network's own dropout on."""
    for hooks, key, _ in list(drops(model)):
        del hooks[key]
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, SwitchedOff):
                [own] = child.own
                parent._modules[name] = own.train(child.training)


def switch_off(model: nn.Module) -> None:
    """Let the network's own dropout modules do nothing; they are no sites then."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, _DropoutNd):
                parent._modules[name] = SwitchedOff(child)


class SwitchedOff(nn.Module):
    """In the place of a dropout module, with a rate of 0 for a network that reads it.

    Args:
        own: the module, kept for `remove_sites`.
    """

    p = 0.0
    inplace = False

    def __init__(self, own: _DropoutNd) -> None:
        super().__init__()
        # In a tuple, or it would be a part of the network.
        self.own = (own,)
        self.train(own.training)

    def forward(self, value: Tensor) -> Tensor:
        return value


def drops(model: nn.Module) -> Iterator[tuple[dict, int, Drop]]:
    """Yield the hooks of added sites, each with the hooks that it is among and its number."""
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in hooks.items():
                if isinstance(hook, Drop):
                    yield hooks, key, hook
