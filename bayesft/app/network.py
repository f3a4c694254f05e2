"""Making the network of a run, with its dropout sites."""

import logging
import warnings
from collections.abc import Sequence

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import nn

from bayesft.app.make import make, without
from bayesft.errors import SettingError
from bayesft.models import OWN, add_sites, placement, set_dropout, site_names, sleeping_sites

log = logging.getLogger(__name__)


def build_network(cfg: DictConfig) -> nn.Module:
    """Make the network of `cfg.model` with its dropout sites, and set its rates.

    `model.sites` and `model.dropout` are not handed to the network's class: sites are
    given to the network that it makes, and rates to the sites that this turns out to have,
    so that any class will do.

    Raises:
        SettingError: it is none, or has other sites or rates than are asked for.
    """
    asked = OmegaConf.to_container(cfg.model, resolve=True)
    dropout, sites = asked.get("dropout"), asked.get("sites")
    settings = without(cfg, "model", ("dropout", "sites"))
    network = make(settings)
    if not isinstance(network, nn.Module):
        target = settings.get("_target_")
        raise SettingError(
            f"Expected `model` to be a torch.nn.Module, but model._target_={target} makes a "
            f"{type(network).__name__}. Name a class, or a function that returns a network."
            if target is not None
            else f"Expected `model` to have a `_target_`, the class of a network, but got "
            f"{settings}. Choose one, such as model=lenet5, or give your config its _target_."
        )
    _tell_unused(network, cfg)
    if sites is None:
        sites = OWN if site_names(network) else "block"
    shape = image_shape(cfg)
    if sites != OWN and shape is None:
        raise SettingError(
            "To find the network's layers it is run on an image, so `data.channels` and "
            "`data.image_size` must be in the data set's config. Or set model.sites=own, for "
            "the nn.Dropout modules that it has."
        )
    if sites != OWN:
        add_sites(network, shape, **placement(sites))
    if shape is not None:
        make(cfg.task).check(network, shape)
    if dropout is not None:
        set_dropout(network, dropout)
    _wake(network)
    return network


def _wake(network: nn.Module) -> None:
    """Put a network that came in eval mode in training mode, or its rates would do nothing.

    As a function that loads weights may leave it. A part that is in eval mode in a network
    that is not is meant so: a frozen backbone.
    """
    if not network.training:
        log.info("%s came in eval mode, and trains in training mode", type(network).__name__)
        network.train()
    if asleep := sleeping_sites(network):
        # Once, and not in each trial of a search.
        warnings.warn(
            f"The rates of {', '.join(asleep)} drop nothing, for their layers came in eval mode. "
            "If that is not meant, leave them in training mode.",
            stacklevel=2,
        )


def _tell_unused(network: nn.Module, cfg: DictConfig) -> None:
    """Tell which of the network's own ways to train are not asked, if it is a LightningModule."""
    if not isinstance(network, pl.LightningModule):
        return
    names = ("training_step", "validation_step", "test_step", "configure_optimizers")
    if own := [name for name in names if is_overridden(name, network, pl.LightningModule)]:
        log.info(
            "%s is used as a network alone: its %s are not called, for it is trained by %s, and "
            "by the optimizer of the config",
            type(network).__name__, ", ".join(own), cfg.method.get("_target_"),
        )  # fmt: skip


def image_shape(cfg: DictConfig) -> tuple[int, int, int] | None:
    """Return channels, height and width of the images; None where the data does not tell.

    Raises:
        SettingError: what it tells is no size.
    """
    channels, size = cfg.data.get("channels"), cfg.data.get("image_size")
    if channels is None or size is None:
        return None
    shape = (channels, *(size if isinstance(size, Sequence) else (size, size)))
    if len(shape) != 3 or not all(isinstance(each, int) and each > 0 for each in shape):
        raise SettingError(
            "Expected `data.channels` to be a number and `data.image_size` a number of pixels, or "
            f"height and width, but got {channels!r} and {size!r}."
        )
    return shape
