"""One training, from a config."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from bayesft.app.build import build_data, build_module, build_trainer
from bayesft.app.checks import check
from bayesft.app.cost import TrainingCost
from bayesft.app.errors import told_plainly
from bayesft.app.first_batch import FirstBatch
from bayesft.app.folder import is_one_of_many, write_config
from bayesft.app.loaders import check_counts, told_in_words
from bayesft.app.network import image_shape
from bayesft.app.report import report_search
from bayesft.app.resume import recorded_score, taken_up
from bayesft.app.warm import shortened, start_warm
from bayesft.errors import INTERRUPTED, SettingError, reason_of
from bayesft.folders import typed
from bayesft.methods import load_weights
from bayesft.methods.checkpoint import check_fits, check_goes_on, read_state
from bayesft.report import curve_table, show
from bayesft.report.results import RESULTS
from bayesft.report.runs import TEST_CURVE
from bayesft.report.scores import score_title, write_scores
from bayesft.robustness import Curve
from bayesft.robustness.montecarlo import not_finite

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished training: the module holds the weights that were kept."""

    module: pl.LightningModule
    data: pl.LightningDataModule
    trainer: pl.Trainer


@told_plainly
def train(cfg: DictConfig) -> float | None:
    """Train, test the kept weights once, and return the test's mean score under drift.

    The kept weights are the best by the monitored validation score, or the last
    where nothing is monitored; those of `cfg.test_only`, without a training, if that is
    given. With `cfg.resume` a finished run in the folder is not trained again, and its score
    is returned.
    """
    if cfg.resume and (recorded := recorded_score(cfg)) is not None:
        log.info("%s has been trained already", cfg.paths.output_dir)
        return recorded
    folder = Path(cfg.paths.output_dir)
    with fitted(cfg) as run:
        with _interruptible(run.trainer, _how_to_go_on(folder, cfg.resume)), told_in_words():
            measured = run.trainer.test(run.module, datamodule=run.data, verbose=False)
        if run.trainer.test_dataloaders is not None:
            # Of an empty one Lightning makes no test, and no word of it.
            check_counts(run.trainer.num_test_batches, "test_dataloader")
        score = run.trainer.callback_metrics.get(f"test/drift_{run.module.task.name}")
        if run.trainer.is_global_zero:
            # Lightning gives them by loader.
            write_scores({k: v for each in measured for k, v in each.items()}, folder)
    error = ""
    curve = folder / TEST_CURVE
    results = folder / RESULTS
    if curve.exists():
        # As `recorded_score` has it, whatever the callback is called that measured it; Lightning
        # rounds to float32.
        with contextlib.suppress(SettingError):
            over = Curve.from_json(curve).at(cfg.evaluation.sigmas)
            score, error = over.mean, f" ± {over.stderr:.3f}"
    if results.exists() and curve.exists():
        found = yaml.safe_load(results.read_text(encoding="utf-8"))
        report_search(folder, found, quiet=is_one_of_many())
    elif curve.exists() and not is_one_of_many():
        title = f"Test {score_title(cfg)} under drift"
        show(curve_table({"test": Curve.from_json(curve)}, title=title))
    if score is not None:
        log.info("Mean score under drift: %.3f%s", score, error)
    log.info("Everything of this run is in %s", folder)
    return None if score is None else float(score)


@contextlib.contextmanager
def fitted(cfg: DictConfig) -> Iterator[Run]:
    """Yield the configured run with its training done; close its loggers on leaving."""
    check(cfg)
    folder = Path(cfg.paths.output_dir)
    given, cfg = cfg, shortened(taken_up(cfg))
    folder.mkdir(parents=True, exist_ok=True)
    write_config(given, folder)
    if cfg.seed is not None:
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
    data = build_data(cfg)
    module = build_module(cfg)
    start_warm(module, cfg)
    trainer = build_trainer(cfg, TrainingCost(folder), FirstBatch(image_shape(cfg)))
    try:
        if cfg.test_only is not None:
            load_weights(module, cfg.test_only)
        else:
            if cfg.ckpt_path is not None:
                check_fits(module, read_state(cfg.ckpt_path), cfg.ckpt_path)
                check_goes_on(cfg.ckpt_path)
            with _interruptible(trainer, _how_to_go_on(folder, cfg.resume)):
                _fit(trainer, module, data, cfg.ckpt_path)
            best = getattr(trainer.checkpoint_callback, "best_model_path", "")
            if best:
                load_weights(module, best)
        _warn_unless_finite(module, folder)
        yield Run(module, data, trainer)
    finally:
        for logger in trainer.loggers:
            # What must end with the run has a `close`, such as the W&B logger.
            getattr(logger, "close", _nothing)()


def _fit(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: str | None,
) -> None:
    try:
        with told_in_words():
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:
        # A monitor that nobody logs, say.
        raise SettingError(f"Lightning cannot train so: {reason_of(error)}") from error
    except SettingError:
        # It is a ValueError as well.
        raise
    except ValueError as error:
        if checkpoint is None or "specified number of total steps" not in str(error):
            raise
        raise SettingError(
            f"{checkpoint} is of a training whose learning rate was to end where that training "
            "ended, and this one is longer. Give trainer.max_epochs as it was, or begin a new "
            "training."
        ) from error


def _warn_unless_finite(module: pl.LightningModule, folder: Path) -> None:
    """Warn if weights are no numbers: their score, the worst, would look like another's."""
    if broken := not_finite(module):
        log.warning(
            "The weights are not finite after the training in %s (%s%s): it diverged, or its data "
            "hold numbers that are not, and counts as the worst. Try a smaller optimizer.lr.",
            folder, ", ".join(broken[:3]), ", ..." if len(broken) > 3 else "",
        )  # fmt: skip


def _how_to_go_on(folder: Path, resumes: bool) -> str:
    where = typed("hydra.run.dir", folder)
    if is_one_of_many():
        hydra = HydraConfig.get()
        where = typed("hydra.sweep.dir", hydra.sweep.dir)
        if "BayesFTSweeper" in hydra.sweeper._target_:
            # A trial that was not finished gets a new folder.
            return f"The same command and {where} trains this one anew"
    resume = "" if resumes and is_one_of_many() else " resume=true"
    return f"What was trained is kept; go on with the same command and {where}{resume}"


@contextlib.contextmanager
def _interruptible(trainer: pl.Trainer, advice: str) -> Iterator[None]:
    """Let Ctrl-C end the program with the status that a shell expects, and an advice.

    Lightning leaves with status 1 and Ctrl-C switched off.
    """
    handler: Callable | int | None = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        log.warning("Interrupted. %s", advice)
        raise SystemExit(INTERRUPTED) from error


def _nothing() -> None:
    pass
