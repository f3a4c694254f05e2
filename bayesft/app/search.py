"""One trial of a search."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bayesft.app.build import make
from bayesft.app.errors import told_plainly
from bayesft.app.folder import WEIGHTS
from bayesft.app.measure import measured
from bayesft.app.train import fitted
from bayesft.errors import SettingError


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
