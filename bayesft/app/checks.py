"""What is wrong with settings that no constructor sees."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig

from bayesft.app.build import build_drift
from bayesft.app.known import check_known
from bayesft.app.measure import evaluation_amount
from bayesft.errors import SettingError
from bayesft.robustness.amount import check_sigmas
from bayesft.robustness.backends import AUTO, check_backend

# What chips are drawn for, each with a seed of its own.
_PURPOSES = ("validation", "objective", "test")


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
