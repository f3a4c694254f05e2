"""Giving dropout sites to a network that was written without them."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from bayesft.errors import SettingError
from bayesft.models.blocks import Block, find_blocks
from bayesft.models.dropout import Rates, dropout_vector, set_dropout
from bayesft.models.probe import probing
from bayesft.models.site import Drop, Site, hang, remove_sites, switch_off

OWN = "own"
"""What `model.sites` is where a network keeps to the dropout modules of its own."""

# The site of a network that is one layer, whose path is empty.
OUTPUT = "output"

TIES = ("block", "stage")
_SHOWN = 6


class SiteWarning(UserWarning):
    """Some blocks of a network have no place for a site."""


def add_sites(
    model: nn.Module,
    image_shape: tuple[int, int, int],
    *,
    tie: str = "block",
    only: Sequence[str] | str | None = None,
    last: bool = False,
    dropout: Rates = 0.0,
) -> None:
    """Give `model` a dropout site behind each block: a weight layer with its norm and activation.

    The network is run once on black images, to see which layer follows which. Sites act
    by forward hooks (see `bayesft.models.site.Drop`): its modules, parameters and buffers
    keep their names, so that `state_dict`s go both ways between it and the network without
    sites. Dropout modules of its own are switched off, and back on by `remove_sites`: the
    sites take their part. What it drops by `F.dropout` stays. Calling it again replaces
    the sites; where it raises, the network is as it was.

    Which module shows a block's value, and what the stages are, is told in
    `bayesft.models.blocks.find_blocks`.

    Example:
        >>> import torchvision
        >>> net = torchvision.models.resnet18()
        >>> add_sites(net, (3, 64, 64), tie="stage", dropout=0.1)
        >>> site_names(net)
        ('stage1', 'stage2', 'stage3', 'stage4', 'stage5')

    Args:
        model: any network from images to logits.
        image_shape: channels, height and width of its images.
        tie: `block`, a rate for each block, named as its weight layer; or `stage`, one
            rate for all blocks whose feature maps have the same size.
        only: patterns (`layer4.*`), or one, of the blocks or stages that get a site; None for
            all.
        last: whether the last layer, whose output are the logits, gets one without being
            named by `only`.
        dropout: the rates, as in `set_dropout`.

    Raises:
        SettingError: the network cannot take such images, has no place for a site, or
            a pattern matches nothing.

    Warns:
        SiteWarning: there is no place behind some of the blocks.
    """
    if tie not in TIES:
        raise SettingError(
            f"Expected `model.sites.tie` to be one of {', '.join(TIES)}, but got {tie!r}."
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise SettingError(
            f"{type(model).__name__} has parts compiled by TorchScript, which take no hooks. Give "
            "sites to the network before it is scripted."
        )
    only = [only] if isinstance(only, str) else only
    blocks = _blocks(model, image_shape)
    chosen = _chosen(blocks, only, last=last)
    placed = [block for block in chosen if block.host is not None]
    if not placed:
        raise SettingError(_no_place(model, blocks, chosen))
    if len(placed) < len(chosen):
        without = [block.path for block in chosen if block.host is None]
        warnings.warn(
            f"{len(without)} of {len(chosen)} blocks of {type(model).__name__} have no site, "
            "because no module takes or returns what they give: "
            f"{_some([path or 'the network itself' for path in without])}.",
            SiteWarning,
            stacklevel=2,
        )
    names = {block.path: block.stage if tie == "stage" else block.path for block in placed}
    order = sorted(set(names.values()), key=_stage_order) if tie == "stage" else names.values()
    sites = {name: Site(name or OUTPUT, position) for position, name in enumerate(order)}
    dropout_vector(dropout, [site.name for site in sites.values()])
    remove_sites(model)
    switch_off(model)
    for block in placed:
        layer = model.get_submodule(block.path)
        hang(Drop(sites[names[block.path]], layer, block.channel_axis), block.host)
    set_dropout(model, dropout)


def placement(sites: Any) -> dict[str, Any]:
    """Return the settings of `add_sites` that `model.sites` in a config stands for.

    Args:
        sites: other than `own`: `block`, `stage`, a list of patterns, or a mapping with
            `tie`, `only` and `last`.

    Raises:
        SettingError: it is none of these.
    """
    if isinstance(sites, str) and sites in TIES:
        return {"tie": sites}
    if isinstance(sites, Sequence) and not isinstance(sites, str) and sites:
        return {"only": [str(pattern) for pattern in sites]}
    if isinstance(sites, Mapping) and set(sites) <= {"tie", "only", "last"}:
        only = sites.get("only")
        if only is not None:
            only = [only] if isinstance(only, (str, int)) else only
            only = [str(pattern) for pattern in only]
        return {**sites, "only": only}
    raise SettingError(
        "Expected `model.sites` to be own, block, stage, a list of patterns such as "
        f"[layer4.*], or {{tie: stage, only: [...], last: true}}, but got {sites!r}."
    )


def _blocks(model: nn.Module, image_shape: tuple[int, int, int]) -> list[Block]:
    with probing(model, image_shape) as batch:
        if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
            # Lazy layers take their form, and another class, in their first call.
            model(batch)
        return find_blocks(model, batch)


def _chosen(blocks: Sequence[Block], only: Sequence[str] | None, *, last: bool) -> list[Block]:
    # Whoever names the last layer asks for it.
    allowed = [block for block in blocks if last or not block.last or block.path in (only or ())]
    if only is None:
        return allowed
    for pattern in only:
        if not any(_matches(block, pattern) for block in allowed):
            raise SettingError(_matches_nothing(pattern, blocks, allowed))
    return [block for block in allowed if any(_matches(block, pattern) for pattern in only)]


def _matches(block: Block, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (block.path, block.stage))


def _matches_nothing(pattern: str, blocks: Sequence[Block], allowed: Sequence[Block]) -> str:
    start = f"`model.sites` has the pattern {pattern!r}, which matches no block and no stage"
    if any(_matches(block, pattern) for block in blocks):
        return f"{start} but the last layer. To drop logits say so: {{only: [...], last: true}}."
    names = [*dict.fromkeys(block.stage for block in allowed), *(block.path for block in allowed)]
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {_some(names)}."
    return f"{start}. {hint}"


def _no_place(model: nn.Module, blocks: Sequence[Block], chosen: Sequence[Block]) -> str:
    name = type(model).__name__
    if not blocks:
        return (
            f"{name} has no place for a dropout site: it calls no convolution or linear layer as "
            "a module. Put nn.Dropout modules where it should have rates, and set model.sites=own."
        )
    if not chosen:
        return (
            f"{name} has no place for a dropout site: its only convolutions or "
            f"linear layers ({_some([block.path for block in blocks])}) are the last ones, whose "
            "outputs are the logits. To have sites there set model.sites='{last: true}'; to have "
            "them elsewhere put nn.Dropout modules there, and set model.sites=own."
        )
    return (
        f"{name} has no place for a dropout site: no module takes or returns what the layers "
        f"{_some([block.path for block in chosen])} give. Call them as modules, or put nn.Dropout "
        "modules where the network should have rates, and set model.sites=own."
    )


def _stage_order(name: str) -> tuple[bool, int]:
    number = name.removeprefix("stage")
    return name == "head", int(number) if number.isdigit() else 0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
