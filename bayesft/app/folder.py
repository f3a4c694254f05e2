"""The folder of a run: its files, and whether it can be written to."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from bayesft.errors import SettingError
from bayesft.folders import at_once, make_writable
from bayesft.report.runs import CONFIG

WEIGHTS = "weights.ckpt"
"""The weights that a trial kept."""


def write_config(cfg: DictConfig, folder: Path) -> None:
    """Leave `cfg` in the folder of its run with nothing left to resolve.

    A run that goes on writes it again: one that is killed meanwhile must not have half of it.
    """
    with at_once(folder / CONFIG) as temporary:
        OmegaConf.save(cfg, temporary, resolve=True)


class RunFolder(Callback):
    """Ends a run whose folder cannot be written to with one message.

    Hydra makes the folder before it calls the application, and would show a traceback.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            make_writable(Path(str(config.hydra.run.dir)), "hydra.run.dir")
        except SettingError as error:
            print(error, file=sys.stderr)
            # Hydra makes a warning of any other exception of a callback, and goes on.
            raise SystemExit(1) from error


def is_one_of_many(hydra: DictConfig | None = None) -> bool:
    """Whether this is a job of a multirun, which shows lines and no tables of its own.

    Args:
        hydra: Hydra's own config, by default that of this process.
    """
    if hydra is None:
        if not HydraConfig.initialized():
            return False
        hydra = HydraConfig.get()
    # The jobs are numbered. In a job `mode` does not tell: it is what a single run has.
    return not OmegaConf.is_missing(hydra.job, "num")
