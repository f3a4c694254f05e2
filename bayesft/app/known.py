"""Which settings there are where no class is handed them, and would refuse one too many."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from bayesft.errors import SettingError

_AMOUNT = ("draws", "images_per_draw", "target_stderr")

# Of one training, as conf/train.yaml composes them.
TRAIN = (
    *("model", "method", "task", "data", "evaluation", "drift", "optimizer", "scheduler"),
    *("callbacks", "logger", "trainer", "paths", "rates", "warm_start", "run_group"),
    *("seed", "ckpt_path", "test_only", "resume"),
)

# What a search, a comparison, a factor study and a contender that was found have besides.
_MANY = ("returns", "vectors", "comparison", "baseline", "factor", "found")

KNOWN = {
    "": (*TRAIN, *_MANY),
    "evaluation": (
        *("sigmas", "typical", "harsh", "backend"),
        *("validation", "objective", "trial", "test"),
    ),
    "evaluation.validation": ("seed", *_AMOUNT),
    "evaluation.objective": ("seed", *_AMOUNT),
    "evaluation.trial": _AMOUNT,
    "evaluation.test": ("seed", *_AMOUNT, "sigmas"),
    "rates": ("low", "high", "start"),
    "warm_start": ("folder", "keep_weights", "epochs"),
}
"""The settings by where they are."""

# `${name.of.it}`, also as what a resolver of OmegaConf's own is given.
_REFERENCE = re.compile(r"\$\{\s*(?:oc\.[\w.]+:\s*)?([\w-]+(?:\.[\w-]+)*)")


def check_known(cfg: DictConfig) -> None:
    """Raise unless all of the settings are known, or values that another setting refers to.

    Hydra refuses a misspelt one, but advises to put a + before it, and then takes it.

    Raises:
        SettingError: one is not.
    """
    unknown = [
        (f"{where}.{key}".lstrip("."), known)
        for where, known in KNOWN.items()
        for key in _keys(cfg, where)
        if key not in known
    ]
    if not unknown:
        return
    used = set(_references(OmegaConf.to_container(cfg, resolve=False)))
    if HydraConfig.initialized():
        # A folder's name may have it.
        hydra = OmegaConf.to_container(HydraConfig.instance().cfg, resolve=False)
        used |= set(_references(hydra))
    for path, known in unknown:
        if any(f"{each}.".startswith(f"{path}.") for each in used):
            continue
        where, _, key = path.rpartition(".")
        near = difflib.get_close_matches(key, known, n=1)
        names = [f"{where}.{each}".lstrip(".") for each in (near or known)]
        advice = f"Did you mean {names[0]}?" if near else f"Expected one of {', '.join(names)}."
        raise SettingError(
            f"There is no setting `{path}`, and it would change nothing. {advice} A value of your "
            f"own is taken where another setting refers to it: ${{{path}}}."
        )


def _keys(cfg: DictConfig, where: str) -> list[str]:
    node = OmegaConf.select(cfg, where) if where else cfg
    return [str(key) for key in node] if isinstance(node, DictConfig) else []


def _references(value: Any) -> Iterator[str]:
    """Yield the names that the strings in `value` refer to, from the root of the config."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, str):
        yield from _REFERENCE.findall(value)
