"""What a person sees when a search has ended."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from bayesft.app.build import build_data, build_module
from bayesft.app.commands import OVERRIDES, retrain_command
from bayesft.app.errors import told_plainly
from bayesft.app.folder import WEIGHTS
from bayesft.app.make import make
from bayesft.app.measure import measured
from bayesft.errors import INTERRUPTED, BayesFTError, SettingError, reason_of
from bayesft.folders import typed
from bayesft.locks import Lock
from bayesft.methods import ERM, load_weights
from bayesft.report import curve_table, difference_line, draw_curves, show
from bayesft.report.examples import FILE, Examples
from bayesft.report.examples_figure import PICTURE, draw_examples
from bayesft.report.learnt import FIGURE
from bayesft.report.results import ALTERNATING, RESULTS
from bayesft.report.runs import CONFIG, TEST_CURVE
from bayesft.report.scores import score_title
from bayesft.report.tables import add_mean_row
from bayesft.robustness import Curve, paired_difference

log = logging.getLogger(__name__)


class SearchReport(Callback):
    """At the end of a search: the best trial against plain training, on test data.

    This is where the test set is read, once for each of the two networks; a
    search that goes on later keeps the curves that it has.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep_dir = Path(config.hydra.sweep.dir)
        results = sweep_dir / RESULTS
        if not results.exists():
            # Another sweeper ran, a grid over some setting, say.
            return
        # Of several processes on one search the first to come here reads the test set, and
        # the others the curves that it leaves.
        try:
            with Lock(sweep_dir / "report.lock"):
                report_search(sweep_dir, yaml.safe_load(results.read_text(encoding="utf-8")))
        except KeyboardInterrupt:
            log.warning(
                "Interrupted. The search is done, in %s; its report is made by the same command "
                "with %s",
                results,
                typed("hydra.sweep.dir", sweep_dir),
            )
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:
            # Hydra makes a warning of it, and the program would end as if all were well.
            told = isinstance(error, (BayesFTError, CompactHydraException))
            log.error(
                "The search is done, in %s, but its report failed: %s. The same command with "
                "%s makes it.",
                results,
                reason_of(error).rstrip("."),
                typed("hydra.sweep.dir", sweep_dir),
                exc_info=None if told else error,
            )
            raise SystemExit(1) from error


def report_search(sweep_dir: Path, results: dict[str, Any], *, quiet: bool = False) -> None:
    """Show the table, draw the figure and print the command of a finished search.

    Args:
        sweep_dir: of the search, or of the one training that searched.
        results: the content of its `optimization_results.yaml`.
        quiet: draw the figure alone.
    """
    if results.get("best_folder") is None:
        return
    best = sweep_dir / results["best_folder"]
    cfg = _config_of(best)
    alternating = results.get("kind") == ALTERNATING
    folders = {"BayesFT": best}
    if results.get("first_folder") is not None:
        first = sweep_dir / results["first_folder"]
        baseline = "ERM" if _is_plain(first) else "trial 0"
        folders = {baseline: best} if first == best else folders | {baseline: first}
    curves = {name: _test_curve(folder) for name, folder in folders.items()}
    said = [] if alternating else ["No trial was better than the first."]
    if len(curves) == 2:
        try:
            said = [_difference(curves, cfg.evaluation.sigmas)]
        except SettingError as error:
            # The search went on with another drift, say.
            _, baseline = folders
            said = [f"{baseline} is not compared, because it was tested in another way. {error}"]
            del folders[baseline], curves[baseline]
    # Of those at which all were tested: a search may go on with others.
    common = set.intersection(*(set(curve.sigmas) for curve in curves.values()))
    curves = {name: curve.at(sorted(common)) for name, curve in curves.items()}
    averaged = {name: curve.at(cfg.evaluation.sigmas) for name, curve in curves.items()}
    score = score_title(cfg)
    figure = sweep_dir / "curves.png"
    draw_curves(curves, figure, title=f"Test {score} under drift", score=score)
    picture = _side_by_side(folders, sweep_dir)
    if quiet:
        return
    table = curve_table(curves, title=f"Test {score} under drift (trial {results['best_trial']})")
    add_mean_row(table, averaged)
    show("", table)
    show(*said)
    # The config of a training that searched has the rates that it began with.
    rates = results["best_params"]["model.dropout"] if alternating else _rates(best)
    show(
        f"Rates: {rates}",
        "",
        *_again(best),
        f"Figure:  {figure}",
        *([f"Picture: {picture}"] if picture else []),
        *([f"Insight: {insight}"] if (insight := sweep_dir / FIGURE).exists() else []),
        f"Weights: {_weights(best)}",
        f"Results: {sweep_dir / RESULTS}",
        f"Trials:  {sweep_dir}",
    )


def _difference(curves: Mapping[str, Curve], sigmas: Sequence[float]) -> str:
    """Return how far apart two networks are.

    Raises:
        SettingError: they were not tested on the same chips in the same way.
    """
    (name, ours), (baseline, theirs) = curves.items()
    return difference_line(paired_difference(ours.at(sigmas), theirs.at(sigmas)), name, baseline)


def _weights(folder: Path) -> Path:
    """Return the file with the weights that were kept; the folder where it is not the only one."""
    kept = [path for path in (folder / "checkpoints").glob("*.ckpt") if path.name != "last.ckpt"]
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    return kept[0] if len(kept) == 1 else folder


def _again(folder: Path) -> list[str]:
    # A training that was not started by Hydra has no command.
    if not (folder / OVERRIDES).exists():
        return []
    return ["Train it again:", f"  {retrain_command(folder)}", ""]


def _config_of(folder: Path) -> DictConfig:
    return OmegaConf.load(folder / CONFIG)


def _is_plain(folder: Path) -> bool:
    """Whether the run in `folder` was plain training: no dropout, and no other method."""
    module = build_module(_config_of(folder))
    return type(module) is ERM and not any(module.dropout)


def _rates(folder: Path) -> list[float]:
    return list(build_module(_config_of(folder)).dropout)


@told_plainly
def _test_curve(folder: Path) -> Curve:
    path = folder / TEST_CURVE
    if path.exists():
        # What an earlier version was killed in is measured again.
        with contextlib.suppress(SettingError):
            return Curve.from_json(path)
    cfg = _config_of(folder)
    module = build_module(cfg)
    load_weights(module, folder / WEIGHTS)
    data = build_data(cfg)
    data.prepare_data()
    data.setup("test")
    sigmas = [*cfg.evaluation.sigmas, *cfg.evaluation.test.sigmas]
    trainer = make(cfg.trainer, logger=False, enable_checkpointing=False)
    module = module.to(trainer.strategy.root_device)
    curve = measured(cfg, "test", module, data.test_dataloader(), sigmas)
    curve.to_json(path)
    curve.to_csv(path.with_suffix(".csv"))
    if (examples := (cfg.get("callbacks") or {}).get("example_detections")) is not None:
        make(examples).write(module, data.test_dataloader(), folder)
    return curve


def _side_by_side(folders: Mapping[str, Path], sweep_dir: Path) -> Path | None:
    """Draw what detectors find side by side, the baseline first, if that is what they do."""
    files = {name: folder / FILE for name, folder in reversed(folders.items())}
    if not all(file.exists() for file in files.values()):
        return None
    examples = {name: Examples.load(file) for name, file in files.items()}
    draw_examples(examples, sweep_dir / PICTURE, beside=True)
    return sweep_dir / PICTURE
