"""What a search asks before its first trial, and one trial."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bayesft.app.build import build_data, build_drift, build_module
from bayesft.app.checks import check
from bayesft.app.errors import told_plainly
from bayesft.app.folder import WEIGHTS
from bayesft.app.make import make
from bayesft.app.measure import measured
from bayesft.app.train import fitted
from bayesft.errors import SettingError
from bayesft.models import site_names as names_of_sites

log = logging.getLogger(__name__)


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
    names = names_of_sites(network)
    if not names:
        log.warning(
            "%s has no dropout site, so that `model.dropout` is no part of the search. With "
            "model.sites=block each of its layers is given one.", type(network).__name__
        )  # fmt: skip
    build_drift(cfg)
    return names


def returned_names(cfg: DictConfig) -> list[str]:
    """Return the names of what `search` returns beside `value`."""
    return [make(cfg.task).clean_name]


@told_plainly
def search(cfg: DictConfig) -> dict[str, Any]:
    """Run one trial: train, and return what a sweeper is to know of it.

    The test set is not read. Besides what a training leaves, the run's folder gets
    the kept weights and the curve behind the objective.

    Returns:
        `value`: the objective, the mean score under drift on validation images, and its
        standard error; `clean_accuracy` (`clean_` and the score's name in another
        task): the score on all of them without drift.
    """
    if cfg.test_only is not None:
        raise SettingError(
            "A search trains each trial, and `test_only` is to test weights that there are: leave "
            "it out, or give it to train.py."
        )
    folder = Path(cfg.paths.output_dir)
    with fitted(cfg) as run:
        run.trainer.save_checkpoint(folder / WEIGHTS, weights_only=True)
        module = run.module.to(run.trainer.strategy.root_device)
        curve = measured(cfg, "objective", module, run.data.val_dataloader(), cfg.evaluation.sigmas)
        curve.to_json(folder / "objective_curve.json")
        task = module.task
        clean = task.clean(module, run.data.val_dataloader())
        for logger in run.trainer.loggers:
            logger.log_metrics(
                {"objective": curve.mean, "objective_stderr": curve.stderr, task.clean_name: clean}
            )
            logger.save()
    return {"value": (curve.mean, curve.stderr), task.clean_name: clean}
