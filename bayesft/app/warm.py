"""Trainings that start from another's weights, and are shorter."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from bayesft.app.folder import WEIGHTS
from bayesft.errors import SettingError
from bayesft.methods import load_weights
from bayesft.methods.snapshot import check_can_shrink, parameters_of, shrink_towards


def shortened(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with the epochs of a training that starts warm, if it does.

    Raises:
        SettingError: a setting under `warm_start` has a value that it cannot have.
    """
    if cfg.warm_start.folder is None:
        return cfg
    if cfg.ckpt_path is not None:
        raise SettingError(
            f"`warm_start.folder` is {cfg.warm_start.folder} and `ckpt_path` {cfg.ckpt_path}: a "
            "training starts from one of them. Set the other to null."
        )
    epochs, keep = cfg.warm_start.epochs, cfg.warm_start.keep_weights
    if isinstance(keep, bool) or not isinstance(keep, (int, float)) or not 0 <= keep <= 1:
        raise SettingError(
            f"Expected `warm_start.keep_weights` to be from 0 to 1, but got {keep!r}."
        )
    part = isinstance(epochs, float) and 0 < epochs <= 1
    number = isinstance(epochs, int) and not isinstance(epochs, bool) and epochs >= 1
    if not (part or number):
        raise SettingError(
            "Expected `warm_start.epochs` to be an integer of at least 1, or a part of "
            f"trainer.max_epochs above 0.0, up to 1.0, but got {epochs!r}."
        )
    whole = cfg.trainer.max_epochs
    if part and not (isinstance(whole, int) and whole > 0):
        raise SettingError(
            f"`warm_start.epochs` is a part of trainer.max_epochs, which is {whole!r}. Set either "
            "to a number of epochs."
        )
    cfg = cfg.copy()
    OmegaConf.update(cfg, "trainer.max_epochs", max(1, round(epochs * whole)) if part else epochs)
    return cfg


def start_warm(module: pl.LightningModule, cfg: DictConfig) -> None:
    """Give `module` the weights in `cfg.warm_start.folder`, if it is set, and shrink them.

    Raises:
        SettingError: the folder has no weights, or the method freezes some.
        CheckpointError: they are another network's.
    """
    if cfg.warm_start.folder is None:
        return
    keep = cfg.warm_start.keep_weights
    remedy = "Set hydra.sweeper.warm_start=false, or warm_start.keep_weights=1."
    check_can_shrink(module, keep, instead=remedy)
    weights = Path(cfg.warm_start.folder) / WEIGHTS
    if not weights.is_file():
        raise SettingError(
            f"`warm_start.folder` is {cfg.warm_start.folder}, which has no {WEIGHTS}. Expected the "
            "folder of a finished trial of a search."
        )
    initial = parameters_of(module)
    load_weights(module, weights)
    shrink_towards(module, initial, keep)
