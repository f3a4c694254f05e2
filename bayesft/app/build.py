"""Making the other parts of a run from its config."""

import warnings
from inspect import Parameter, signature
from pkgutil import resolve_name

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.utilities.model_helpers import is_overridden

from bayesft.app.make import make, without
from bayesft.app.network import build_network
from bayesft.drift import Drift
from bayesft.errors import SettingError, reason_of
from bayesft.methods import ERM

# What networks read of the data set's config, which its class need not take.
_READ = ("image_size", "channels", "num_classes")


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
        config = without(cfg, "data", unwanted)
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
