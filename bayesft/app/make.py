"""Instantiating a part of a config."""

from collections.abc import Collection
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bayesft.app.errors import targets_named


def make(config: DictConfig, **settings: Any) -> Any:
    """Instantiate `config` with plain lists and dicts in place of OmegaConf's."""
    with targets_named(config):
        return instantiate(config, _convert_="all", **settings)


def without(cfg: DictConfig, group: str, names: Collection[str]) -> DictConfig:
    """Return the config of a group without some settings, at its place, as messages name it."""
    settings = OmegaConf.to_container(cfg[group], resolve=True)
    return OmegaConf.create({group: {k: v for k, v in settings.items() if k not in names}})[group]
