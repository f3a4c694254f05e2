"""What a run does with a run that it finds in its folder."""

import logging
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from bayesft.errors import CheckpointError, SettingError
from bayesft.folders import typed
from bayesft.methods.checkpoint import read_state
from bayesft.report.recipe import difference, recipe
from bayesft.report.runs import CONFIG, TEST_CURVE
from bayesft.report.scores import SCORES
from bayesft.robustness import Curve

log = logging.getLogger(__name__)


def taken_up(cfg: DictConfig) -> DictConfig:
    """Return `cfg` as it goes on in its folder: from the last checkpoint of a run there.

    What ended before it left weights or scores starts again: there is nothing to lose.

    Raises:
        SettingError: there is a run, and it is not to go on, or it has other settings.
    """
    folder = Path(cfg.paths.output_dir)
    if cfg.ckpt_path is not None:
        return cfg
    if not (folder / CONFIG).exists():
        return _from_scratch(cfg, folder)
    last = folder / "checkpoints" / "last.ckpt"
    kept = [folder / TEST_CURVE, folder / SCORES, *folder.rglob("*.ckpt")]
    if not any(path.exists() for path in kept):
        return _from_scratch(cfg, folder)
    if not cfg.resume:
        raise SettingError(
            f"{folder} holds a run already, and training there would write over it. Choose "
            "another folder (hydra.run.dir), or go on with that run: resume=true."
        )
    _check_is_the_same(cfg, folder)
    if not last.exists():
        return _from_scratch(cfg, folder)
    try:
        read_state(last)
    except CheckpointError as error:
        raise CheckpointError(
            f"{last}, the last state of the training in {folder}, cannot be read: it was cut off "
            "or damaged. Go on from an earlier state, if there is one: "
            f"{typed('ckpt_path', last.with_name('best.ckpt'))}. Or delete it, and the training "
            "begins again."
        ) from error
    log.info("Going on with the training in %s", folder)
    cfg = cfg.copy()
    OmegaConf.update(cfg, "ckpt_path", str(last))
    return cfg


def _from_scratch(cfg: DictConfig, folder: Path) -> DictConfig:
    """Return `cfg`; say that its training begins, if it was to go on."""
    if cfg.resume and cfg.test_only is None:
        log.info("There is no training to go on with in %s: it begins", folder)
    return cfg


def recorded_score(cfg: DictConfig) -> float | None:
    """Return the test's mean score under drift of a finished run in the folder, or None.

    Raises:
        SettingError: the run there has other settings.
    """
    folder = Path(cfg.paths.output_dir)
    # The scores are written last: without them the run was killed in its test.
    if not all((folder / name).exists() for name in (CONFIG, TEST_CURVE, SCORES)):
        return None
    _check_is_the_same(cfg, folder)
    try:
        curve = Curve.from_json(folder / TEST_CURVE)
    except SettingError:
        # The run was killed while it wrote: the kept weights are tested again.
        return None
    return curve.at(cfg.evaluation.sigmas).mean


def _check_is_the_same(cfg: DictConfig, folder: Path) -> None:
    """Raise `SettingError` unless the run in `folder` has the settings of `cfg`."""
    ours, theirs = (
        OmegaConf.to_container(each, resolve=True) for each in (cfg, _config_in(folder))
    )
    found = difference(
        *(
            recipe(each) | {key: each.get(key) for key in ("seed", "test_only")}
            for each in (ours, theirs)
        )
    )
    if found:
        raise SettingError(
            f"{folder} holds a run of other settings, and `resume` is true:\n  "
            + "\n  ".join(found)
            + "\n(asked for, not what is there). Give the settings that it has, or another folder: "
            "hydra.run.dir, or hydra.sweep.dir with -m."
        )


def _config_in(folder: Path) -> DictConfig:
    try:
        config = OmegaConf.load(folder / CONFIG)
    except (OSError, yaml.YAMLError):
        config = None
    if isinstance(config, DictConfig) and "seed" in config:
        return config
    raise SettingError(
        f"{folder / CONFIG} cannot be read or is not whole, and so it cannot be told whether the "
        f"run there is the one that is asked for. Move {folder} elsewhere, or give another folder."
    )
