"""Making the parts of a run from its config."""

import logging
import warnings
from collections.abc import Collection, Sequence
from inspect import Parameter, signature
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import nn

from bayesft.app.errors import targets_named, told_plainly
from bayesft.app.known import check_known
from bayesft.drift import Drift
from bayesft.errors import SettingError, reason_of
from bayesft.methods import ERM
from bayesft.models import OWN, add_sites, placement, set_dropout, sleeping_sites
from bayesft.models import site_names as model_site_names
from bayesft.robustness.amount import amount, check_sigmas
from bayesft.robustness.backends import AUTO, check_backend

log = logging.getLogger(__name__)

# What networks read of the data set's config, which its class need not take.
_READ = ("image_size", "channels", "num_classes")

# What chips are drawn for, each with a seed of its own.
_PURPOSES = ("validation", "objective", "test")


def make(config: DictConfig, **settings: Any) -> Any:
    """Instantiate `config` with plain lists and dicts in place of OmegaConf's."""
    with targets_named(config):
        return instantiate(config, _convert_="all", **settings)


def _without(cfg: DictConfig, group: str, names: Collection[str]) -> DictConfig:
    """Return the config of a group without some settings, at its place, as messages name it."""
    settings = OmegaConf.to_container(cfg[group], resolve=True)
    return OmegaConf.create({group: {k: v for k, v in settings.items() if k not in names}})[group]


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
    settings = _without(cfg, "model", ("dropout", "sites"))
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
        sites = OWN if model_site_names(network) else "block"
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


def build_module(cfg: DictConfig) -> pl.LightningModule:
    """Make the LightningModule of `cfg.method` around the network.

    Raises:
        SettingError: it is none that derives from `ERM`, does not take its settings, or has
            nothing to train though it is to be trained.
    """
    # A partial, so that Hydra does not copy the network into a config.
    method = make(cfg.method, _partial_=True)
    base = f"{ERM.__module__.rpartition('.')[0]}.{ERM.__name__}"
    target = cfg.method.get("_target_")
    if not callable(method):
        raise SettingError(
            f"Expected `method` to have a `_target_`, a class that derives from {base}, but got "
            f"{method}. Choose one: method=erm."
        )
    network = build_network(cfg)
    derive = (
        f"A method derives from {base}, which takes the network, `task`, `optimizer` and "
        "`scheduler`; a network of your own is trained by it as `model`, with method=erm."
    )
    is_method = not isinstance(method.func, type) or issubclass(method.func, ERM)
    try:
        signature(method.func).bind(network, **method.keywords)
    except TypeError as error:
        given = ", ".join(method.keywords)
        advice = "Correct its config." if is_method else derive
        raise SettingError(
            f"`method` cannot be made: {target} does not take the network and {given} "
            f"({reason_of(error)}). {advice}"
        ) from error
    module = method(network)
    if not isinstance(module, ERM):
        raise SettingError(
            f"Expected `method` to be a {base}, but method._target_={target} makes a "
            f"{type(module).__name__}. {derive}"
        )
    trained = cfg.test_only is None and 0 not in (
        cfg.trainer.get(key) for key in ("max_epochs", "max_steps")
    )
    if trained and not any(each.requires_grad for each in module.parameters()):
        raise SettingError(
            f"There is nothing to train: no parameter of {type(network).__name__} requires a "
            "gradient. Leave some of them to be trained (parameter.requires_grad_()), or measure "
            "it as it is: trainer.max_epochs=0."
        )
    return module


def build_data(cfg: DictConfig) -> pl.LightningDataModule:
    """Make the data module of `cfg.data`; nothing is read yet.

    What its images are like stands there for the networks: a class that does not take it is
    not handed it.

    Raises:
        SettingError: it is none, or lacks a loader that a run comes to ask for.
    """
    config = cfg.data
    if unwanted := _not_taken(config):
        config = _without(cfg, "data", unwanted)
    data = make(config)
    name = type(data).__name__
    if not isinstance(data, pl.LightningDataModule):
        raise SettingError(
            f"Expected `data` to be a LightningDataModule, but data._target_={cfg.data._target_} "
            f"makes a {name}. Derive its class from pytorch_lightning.LightningDataModule."
        )
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if not is_overridden(loader, data, pl.LightningDataModule):
            raise SettingError(
                f"{name} has no `{loader}`: a run trains, chooses on validation images and tests "
                "once. Give it the method, with images that the others do not have."
            )
    return data


def _not_taken(data: DictConfig) -> set[str]:
    """Return which keys of the data set's config are for the networks alone."""
    try:
        parameters = signature(resolve_name(data._target_)).parameters
    except Exception:
        # Making it tells what is wrong.
        return set()
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
        return set()
    return {key for key in _READ if key in data and key not in parameters}


def build_drift(cfg: DictConfig) -> Drift:
    """Make the drift model of `cfg.drift`."""
    return make(cfg.drift)


def build_trainer(cfg: DictConfig, *callbacks: pl.Callback) -> pl.Trainer:
    """Make the trainer with its callbacks and loggers, and give the loggers the config.

    Args:
        cfg: of the run.
        callbacks: more than the config has.
    """
    # The sets in memory are read faster without worker processes.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Lightning 2.6 asks PyTorch 2.15 in a way that it deprecates; nothing is wrong.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    # A run that goes on; one that would write over another was refused before.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    settings = [each for each in (cfg.get("callbacks") or {}).values() if each is not None]
    callbacks = [*callbacks, *(make(each) for each in settings)]
    if not cfg.trainer.get("enable_progress_bar", True):
        # Lightning refuses to have one and be told not to.
        callbacks = [each for each in callbacks if not isinstance(each, ProgressBar)]
    logger = make(cfg.logger) if cfg.get("logger") else False
    try:
        trainer = make(cfg.trainer, _partial_=True)(callbacks=callbacks, logger=logger)
    except (TypeError, ValueError, RuntimeError) as error:
        said = {k: v for k, v in cfg.trainer.items() if not k.startswith("_")}
        raise SettingError(
            f"`trainer` cannot be made ({reason_of(error)}) with trainer={said}. Its settings are "
            "those of pytorch_lightning.Trainer."
        ) from error
    for each in trainer.loggers:
        each.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


def check(cfg: DictConfig) -> None:
    """Raise what is wrong with the settings that no constructor sees.

    Raises:
        SettingError: there is no such setting, a seed, a length, a sigma, a backend or an amount
            is not one, two purposes share their chips, two checkpoints are given, or settings are
            of a callback that there is not.
    """
    check_known(cfg)
    seed = cfg.seed
    if seed is not None and not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise SettingError(f"Expected `seed` to be null or from 0 to 2^32 - 1, but got {seed!r}.")
    if cfg.ckpt_path is not None and cfg.test_only is not None:
        raise SettingError(
            f"Expected one of `ckpt_path` and `test_only`, but got {cfg.ckpt_path} and "
            f"{cfg.test_only}: the first is to train on from, the second to test without training."
        )
    for key in ("max_epochs", "max_steps"):
        length = cfg.trainer.get(key)
        # Lightning finds out when it compares it with an epoch's number.
        if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
            raise SettingError(
                f"Expected `trainer.{key}` to be an integer, but got {length!r}: trainer.{key}=10."
            )
    drift = build_drift(cfg)
    check_sigmas(drift, cfg.evaluation.sigmas, name="evaluation.sigmas")
    if cfg.evaluation.test.sigmas != []:
        check_sigmas(drift, cfg.evaluation.test.sigmas, name="evaluation.test.sigmas")
    check_backend(cfg.evaluation.get("backend", AUTO), name="evaluation.backend")
    _check_rates(cfg.rates)
    for name in (*_PURPOSES, "trial"):
        evaluation_amount(cfg, name)
    seeds = _check_seeds(cfg)
    for name, callback in (cfg.get("callbacks") or {}).items():
        if callback is not None and callback.get("_target_") is None:
            raise SettingError(
                f"Expected callbacks.{name} to have a `_target_`, but got {dict(callback)}, which "
                "are settings of a callback that is not there. Choose `callbacks` that have it, "
                f"or set callbacks.{name}=null."
            )
        if callback is not None and callback.get("seed") == seeds["test"]:
            raise SettingError(
                f"Expected callbacks.{name}.seed to differ from evaluation.test.seed, but both "
                f"are {seeds['test']}: what is tuned on some chips must be tested on others."
            )


def _check_seeds(cfg: DictConfig) -> dict[str, int]:
    """Return the seed of each purpose's chips; raise `SettingError` if two purposes share them."""
    seeds = {name: cfg.evaluation[name].seed for name in _PURPOSES}
    for name, seed in seeds.items():
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise SettingError(
                f"Expected evaluation.{name}.seed to be an integer of at least 0, but got {seed!r}."
            )
    if len(set(seeds.values())) < len(seeds):
        raise SettingError(
            f"Expected evaluation.*.seed to differ between purposes, but got {seeds}: a network "
            "chosen on some chips must be tested on others."
        )
    trained = cfg.method.get("chip_seed")
    if trained is not None and trained in seeds.values():
        raise SettingError(
            f"Expected method.chip_seed to be none of evaluation.*.seed, {seeds}, but got "
            f"{trained}: what is trained on some chips must be chosen and tested on others."
        )
    return seeds


def _check_rates(rates: DictConfig) -> None:
    """Raise `SettingError` unless a search can be between these rates."""
    low, high, start = rates.low, rates.high, rates.start
    if not _are_numbers([low, high]) or not 0 <= low < high < 1:
        raise SettingError(
            "Expected `rates.low` and `rates.high` to be rates, 0 <= low < high < 1, but got "
            f"{low!r} and {high!r}. Try rates.low=0 rates.high=0.8."
        )
    if not isinstance(start, ListConfig) or not _are_numbers(start):
        raise SettingError(
            "Expected `rates.start` to be a list of first trials, each a rate for all sites, but "
            f"got {start!r}. Try rates.start=[0,0.2]."
        )
    outside = [rate for rate in start if not low <= rate <= high]
    if outside:
        raise SettingError(
            f"Expected `rates.start` to lie between rates.low={low} and rates.high={high}, but got "
            f"{outside[0]!r}."
        )


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values)


def evaluation_amount(cfg: DictConfig, purpose: str) -> dict[str, Any]:
    """Return how much is evaluated for `purpose`, as `bayesft.robustness.evaluate` takes it.

    Raises:
        SettingError: a setting has a value that it cannot have.
    """
    settings = cfg.evaluation[purpose]
    return amount(
        settings.draws,
        settings.images_per_draw,
        settings.target_stderr,
        prefix=f"evaluation.{purpose}.",
    )


@told_plainly
def site_names(cfg: DictConfig) -> Sequence[str]:
    """Return the names of the dropout sites of the configured network.

    A search asks this before its first trial, so it also makes the other parts
    and fetches the data: what is wrong with them is told before anything runs.

    Raises:
        SettingError: the trainings search the rates themselves.
    """
    check(cfg)
    if (cfg.get("callbacks") or {}).get("dropout_search") is not None:
        raise SettingError(
            "Each training of this search would search its dropout rates itself "
            "(callbacks.dropout_search), and not keep to `model.dropout`. Leave out "
            "experiment=alternating, or sweep something else with model.dropout=0."
        )
    build_data(cfg).prepare_data()
    network = build_module(cfg).model
    names = model_site_names(network)
    if not names:
        log.warning(
            "%s has no dropout site, so that `model.dropout` is no part of the search. With "
            "model.sites=block each of its layers is given one.", type(network).__name__
        )  # fmt: skip
    build_drift(cfg)
    return names
