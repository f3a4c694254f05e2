"""A dropout site that was added to a network: a rate, and the hooks that apply it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
    """Return the sites that were added to `model` by name, in the order of the vector."""
    found = {drop.site.name: drop.site for _, _, drop in _drops(model)}
    return dict(sorted(found.items(), key=lambda item: item[1].position))


def remove_sites(model: nn.Module) -> None:
    """Take the added sites away again. There need be none."""
    for hooks, key, _ in list(_drops(model)):
        del hooks[key]


def _drops(model: nn.Module) -> Iterator[tuple[dict, int, Drop]]:
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in hooks.items():
                if isinstance(hook, Drop):
                    yield hooks, key, hook
