"""The application in this process: configs composed as the command line would, searches run."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from bayesft import app

ROOT = Path(__file__).parents[2]
CONF = str(ROOT / "conf")

# A training that takes a second.
SMALL = (
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "model.hidden=[16]",
    "data.batch_size=256",
    "trainer.enable_progress_bar=false",
    "evaluation.validation.draws=3",
    "evaluation.objective.draws=20",
    "evaluation.test.draws=20",
)


def composed(folder: Path, *overrides: str, name: str = "train") -> DictConfig:
    """Return the config of a run that writes to `folder`."""
    paths = (f"paths.output_dir='{folder}'", f"paths.data_dir='{folder}'", "run_group=null")
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose(name, overrides=[*paths, *overrides])


def search(folder: Path, *overrides: str) -> None:
    """Run `search.py -m` with `overrides`, the report at its end included."""
    _multirun("search", app.search, folder, overrides)


def train_many(folder: Path, *overrides: str) -> None:
    """Run `train.py -m` with `overrides`, the report at its end included."""
    _multirun("train", app.train, folder, overrides)


def _multirun(name: str, task: Callable, folder: Path, overrides: Sequence[str]) -> None:
    try:
        with initialize_config_dir(CONF, version_base="1.3", job_name=name):
            GlobalHydra.instance().hydra.multirun(
                config_name=name,
                task_function=task,
                overrides=[f"hydra.sweep.dir='{folder}'", *overrides],
            )
    finally:
        # Hydra leaves loggers as the last job had them to the end of the process.
        for logger in (logging.root, logging.getLogger("bayesft.search")):
            for handler in logger.handlers[:]:
                if isinstance(handler, logging.FileHandler):
                    logger.removeHandler(handler)
                    handler.close()
            logger.propagate = True
