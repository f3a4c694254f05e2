"""Dropout sites: the places of a network that have a rate, and their vector.

A site is a dropout module of PyTorch, wherever it stands in a network, or one that
`add_sites` gave it. Nothing else is asked of the network, so these functions serve a
stranger's as well.
"""

import difflib
import math
from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from bayesft.errors import SettingError
from bayesft.models.site import Site, added_sites, drops

Rates = float | Sequence[float] | Mapping[str, float]
"""One rate for all sites, one for each in their order, or some by name."""


def sites(model: nn.Module) -> dict[str, _DropoutNd | Site]:
    """Return the sites of `model` by name, in the order of the vector; `p` is the rate of each.

    These are its dropout modules, in the order of their definition, and what `add_sites` gave
    it. A module's name is its path in the network; the networks here keep theirs in a
    `ModuleDict` called `dropout`, and that first word is left out. A module used
    twice is one site.
    """
    own = {
        path.removeprefix("dropout."): module
        for path, module in model.named_modules()
        if isinstance(module, _DropoutNd)
    }
    return own | added_sites(model)


def site_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the sites, in the order of the vector."""
    return tuple(sites(model))


def get_dropout(model: nn.Module) -> tuple[float, ...]:
    """Return the dropout vector: the rate of each site, in order."""
    return tuple(float(module.p) for module in sites(model).values())


def sleeping_sites(model: nn.Module) -> tuple[str, ...]:
    """Return the sites that would drop nothing in a training: their layers are in eval mode.

    A trainer leaves a module in the mode that it was handed in.
    """
    awake = {id(drop.site) for _, _, drop in drops(model) if drop.layer.training} | {
        id(module) for module in model.modules() if module.training
    }
    return tuple(name for name, site in sites(model).items() if id(site) not in awake)


def set_dropout(model: nn.Module, dropout: Rates) -> None:
    """Set the rates of the sites of `model`.

    Args:
        model: any network.
        dropout: one rate for all sites, a sequence with a rate for each, or a
            mapping from site to rate that leaves the other sites as they are.

    Raises:
        SettingError: no network, a rate outside [0, 1), a vector of the wrong length, an
            unknown site, or a network without sites (a rate of 0 for all is fine
            there: it asks for nothing).
    """
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"Expected a network, a torch.nn.Module, to set rates of, but got a "
            f"{type(model).__name__}. Of several set each one's: set_dropout(network, rates)."
        )
    found = sites(model)
    if not found and not _asks_for_nothing(dropout):
        raise SettingError(
            f"`model.dropout` is {dropout!r}, but {type(model).__name__} has no dropout site. "
            "Put nn.Dropout modules where it should have rates, or let sites be added: "
            "model.sites=block, or bayesft.models.add_sites(network, image_shape)."
        )
    vector = dropout_vector(dropout, tuple(found), current=get_dropout(model))
    for module, rate in zip(found.values(), vector, strict=True):
        module.p = rate


def dropout_vector(
    dropout: Rates, names: Sequence[str], *, current: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Return `dropout` as one rate per name. See `set_dropout`.

    Args:
        dropout: a scalar, a sequence or a mapping.
        names: of the sites, in order.
        current: the rates that a mapping leaves alone; 0 by default.
    """
    if isinstance(dropout, Mapping):
        vector = dict(zip(names, current or [0.0] * len(names), strict=True))
        # A number, as the places of a `Sequential` are, comes as one from a config.
        for name, rate in ((str(name), rate) for name, rate in dropout.items()):
            if name not in vector:
                raise SettingError(_unknown_site(name, names))
            vector[name] = _check_rate(rate, name)
        return tuple(vector.values())
    if isinstance(dropout, Sequence) and not isinstance(dropout, str):
        if len(dropout) != len(names):
            raise SettingError(
                f"Expected `model.dropout` to have {len(names)} rates, one for each of the sites "
                f"{', '.join(names)}, but got {len(dropout)}: {list(dropout)}."
            )
        return tuple(_check_rate(rate, name) for rate, name in zip(dropout, names, strict=True))
    return (_check_rate(dropout, "every site"),) * len(names)


def _check_rate(rate: float, site: str) -> float:
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not math.isfinite(rate) or not 0 <= rate < 1:
        raise SettingError(
            f"Expected the dropout rate of {site} to be a number in [0, 1), but got {rate!r} "
            "in `model.dropout`."
        )
    return float(rate)


def _unknown_site(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"`model.dropout` names the site {name!r}; the sites are {', '.join(names)}.{hint}"


def _asks_for_nothing(dropout: Rates) -> bool:
    if isinstance(dropout, (Mapping, Sequence)):
        return not dropout
    return dropout == 0
