"""A study's report for the logger of its runs."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from bayesft.app.make import make
from bayesft.errors import reason_of
from bayesft.report.sheet import Sheet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What a report on a study consists of.

    Attributes:
        name: what its parts stand under.
        missing: whether runs are.
        sheets: by name.
        figures: files, by name.
        pages: HTML files, by name.
        commands: the overrides of multiruns that make the missing runs; None where the same
            overrides do.
    """

    name: str
    missing: bool
    sheets: Mapping[str, Sheet]
    figures: Mapping[str, Path]
    pages: Mapping[str, Path] = field(default_factory=dict)
    commands: Sequence[Sequence[str]] | None = None


def publish(report: Report, config: DictConfig, folder: Path) -> None:
    """Hand the report to the logger that the runs have, if it takes reports.

    That is one with a method `log_report`, such as the W&B logger: there it is a run of its own
    beside the trainings, of the same project and group, of job type `report`. What goes wrong
    is told and raises nothing: the report is in the folder.

    Args:
        report: what has been written.
        config: of the multirun, Hydra's own included.
        folder: of the multirun.
    """
    settings = config.get("logger")
    if not settings or settings.get("_target_") is None:
        return
    try:
        if not hasattr(get_class(settings._target_), "log_report"):
            return
        logger = make(_resolved(config, folder), name=report.name, job_type="report")
        try:
            logger.log_hyperparams({"folder": str(folder)})
            logger.log_report(report.name, report.sheets, report.figures, report.pages)
        finally:
            logger.close()
    except Exception as error:
        log.warning("The report could not be handed to the logger: %s", reason_of(error))


def _resolved(config: DictConfig, folder: Path) -> DictConfig:
    """Return the logger's settings for a run that writes to the multirun's folder."""
    config = config.copy()
    with _hydra_config(config):
        # Of a single run; a multirun has none.
        OmegaConf.update(config, "paths.output_dir", str(folder), force_add=True)
        return OmegaConf.create(OmegaConf.to_container(config.logger, resolve=True))


# The sweeper has the same: it serves other applications too, and must not load this one.
@contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """Let `config` resolve what it says of Hydra (`${hydra:...}`), as inside a job."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before
