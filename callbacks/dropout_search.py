"""Searching the dropout rates of a network while it trains."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bayesft.bo import JOURNAL, write_journal
from bayesft.drift import Drift
from bayesft.errors import SettingError
from bayesft.methods import ERM
from bayesft.methods.alternating import Alternating
from bayesft.methods.phases import Phases
from bayesft.methods.snapshot import (
    check_can_shrink,
    parameters_of,
    put_back,
    shrink_towards,
    take,
)
from bayesft.models.dropout import Rates, set_dropout, sites
from bayesft.report.learnt import FIGURE, look, tell
from bayesft.report.results import ALTERNATING, RESULTS, write_results
from bayesft.report.tables import short_vector
from bayesft.robustness import Score
from bayesft.robustness.amount import amount, check_sigmas
from bayesft.robustness.backends import AUTO, check_backend
from callbacks.measuring import measure, only_loader

log = logging.getLogger("bayesft.search")

# In a Lightning checkpoint.
_STATE = "bayesft_dropout_search"
# The first vectors: as with a search of many trainings, but without the rates of plain training.
_START = 0.2, 0.4


class DropoutSearch(pl.Callback):
    """Alternate between training the weights and choosing the dropout vector, in one run.

    At the end of each trial, a few epochs or steps, it measures the score under drift on validation
    images, tells the Gaussian process, asks it for the next vector and sets that on
    the network, which trains on. This costs much less than one training per trial, but
    the trials share their weights: what one measures is also what those before it have
    left. Three things are done about that. A trial starts with `keep_weights` of the weights,
    and the rest from the initial ones: rates that are good for weights which others made
    robust are not always good for a training of their own. The Gaussian process knows how far
    the search had come at each trial, and a trend that all share. A trial that ruins the
    weights is undone.

    Three phases: `warmup` with the vector `warmup_dropout`, `search`, and what is left of the
    training with the vector of the best posterior mean. A schedule that fits them is
    `bayesft.methods.phases.PhasedLR`.

    It serves any LightningModule with dropout modules. In a training on several devices
    the first process asks, and all set the same vector. All of its state is in the
    checkpoint: a training that goes on from one sets the vectors it would have set.

    The folder gets what a search of many trainings has: `journal.jsonl`,
    `optimization_results.yaml` and, when the search ends, `insight.png`. Loggers get
    `search/objective`, its standard error, and `search/dropout/<site>`.

    Args:
        drift: what happens to a weight.
        sigmas: the strengths that the objective is the mean over.
        warmup: epochs as an integer, or a part of the training from 0 to 1 as a float.
        search: the same, of the search.
        trials: how many the search is divided into.
        every_n_epochs: of one trial, in place of `trials`, which is None then.
        every_n_steps: optimiser steps of one trial, in place of `trials`.
        low: the smallest rate that is searched.
        high: the largest.
        warmup_dropout: a rate, a vector, or a mapping from site to rate.
        start: vectors to try first, in the same forms; None for all rates 0.2 and all 0.4,
            moved between `low` and `high`.
        n_initial: trials before the Gaussian process is asked: half of all, from 2 to 8, if
            None; more than there are trials for a search by Sobol points alone.
        changing: whether the Gaussian process is told how far the search had come at a trial.
        undo_below: a trial that measures less than this part of the one before is undone: the
            weights and the optimiser's state from before it come back. 0 for never.
        keep_weights: the part of the weights that a trial, and the last phase, starts with;
            1 trains on without a break, 0 starts each from the initial weights. A last
            phase shorter than a trial trains on without a break.
        search_seed: of the search.
        draws: chips per measurement.
        images_per_draw: fresh images for each; None with `target_stderr` alone.
        target_stderr: the standard error to reach at each sigma, in place of `draws`.
        seed: of the chips, the same ones for each trial.
        score: a function of (module, batch); see `DriftEvaluation`.
        backend: see `bayesft.robustness.evaluate`.
        output_dir: where it writes; the trainer's `default_root_dir` if None.

    Raises:
        SettingError: a setting has a value that it cannot have; at the start of the
            training also: the network has no dropout, the search does not fit into the
            training, or another callback sets the rates.
    """

    def __init__(
        self,
        drift: Drift,
        sigmas: Sequence[float],
        *,
        warmup: int | float = 0.04,
        search: int | float = 0.64,
        trials: int | None = 16,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        low: float = 0.0,
        high: float = 0.8,
        warmup_dropout: Rates = 0.0,
        start: Sequence[Rates] | None = None,
        n_initial: int | None = None,
        changing: bool = True,
        undo_below: float = 0.9,
        keep_weights: float = 0.3,
        search_seed: int = 0,
        draws: int = 50,
        images_per_draw: int | None = 100,
        target_stderr: float | None = None,
        seed: int = 2,
        score: Score | None = None,
        backend: str = AUTO,
        output_dir: str | Path | None = None,
    ) -> None:
        self.drift = drift
        self.sigmas = list(check_sigmas(drift, sigmas))
        self.lengths = {
            "warmup": warmup,
            "search": search,
            "trials": trials,
            "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps,
        }
        self.settings = {
            "low": low,
            "high": high,
            "warmup": warmup_dropout,
            "start": [min(max(r, low), high) for r in _START] if start is None else start,
            "n_initial": n_initial,
            "changing": changing,
            "undo_below": undo_below,
            "keep_weights": keep_weights,
            "seed": search_seed,
        }
        self.amount = amount(draws, images_per_draw, target_stderr)
        self.seed = seed
        self.score = score
        self.backend = check_backend(backend)
        self.output_dir = output_dir
        self.search: Alternating | None = None
        self._loaded: dict[str, Any] | None = None
        self._before: dict[str, Any] | None = None
        self._initial: dict[str, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            # Another training has another network; of a checkpoint its state comes after this.
            self.search, self._loaded, self._before, self._initial = None, None, None, {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_alone(trainer)
        check_can_shrink(
            pl_module,
            self.settings["keep_weights"],
            instead="Search with one training per trial (search.py), or set "
            "callbacks.dropout_search.keep_weights=1.",
        )
        only_loader(trainer.val_dataloaders, "validation", "DropoutSearch")
        names = tuple(sites(_network(pl_module)))
        if not names:
            raise SettingError(
                f"DropoutSearch has nothing to search: {type(_network(pl_module)).__name__} has no "
                "dropout site. Put nn.Dropout modules where it should have rates, or let "
                "bayesft.models.add_sites add sites (model.sites=block in a config)."
            )
        self.search = Alternating(names, self._phases(trainer), **self.settings)
        if not self._initial:
            self._initial = parameters_of(pl_module)
        if self._loaded is not None:
            self.search.load(self._loaded)
        elif trainer.global_step > 0:
            raise SettingError(
                "The checkpoint was written by a training without DropoutSearch, and this one "
                f"would begin to search after {trainer.global_step} steps. Start from the "
                "beginning, or go on without the search."
            )
        self._set_vector(pl_module)
        if self.search.due == trainer.global_step:
            self._next(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        due = self.search.due
        # With accumulated gradients several batches end at the same step.
        if due is not None and trainer.global_step >= due:
            if self.search.running is not None:
                self._measure(trainer, pl_module)
            self._next(trainer, pl_module)

    # Not `state_dict`: Lightning would refuse two of these in words of its own.
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.search is not None:
            checkpoint[_STATE] = {
                "search": self.search.state(),
                "before": self._before,
                "initial": self._initial,
            }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if state := checkpoint.get(_STATE):
            self._loaded, self._before = state["search"], state["before"]
            self._initial = state["initial"]

    def _measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """End the running trial."""
        curve = measure(
            trainer,
            module,
            only_loader(trainer.val_dataloaders, "validation", "DropoutSearch"),
            self.drift,
            self.sigmas,
            score=self.score,
            backend=self.backend,
            seed=self.seed,
            **self.amount,
        )
        if reason := self.search.too_bad(curve.mean):
            trial = self.search.undo(reason)
            put_back(self._before, module, trainer.optimizers)
        else:
            trial = self.search.end(curve.mean, curve.stderr)
        if trainer.is_global_zero:
            rates = dict(zip(sites(_network(module)), self.search.vector_of(trial), strict=True))
            values = {"search/objective": curve.mean, "search/objective_stderr": curve.stderr}
            values |= {f"search/dropout/{site}": rate for site, rate in rates.items()}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.global_step)
            outcome = trial.reason or f"{curve.mean:.4f} ± {curve.stderr:.4f}"
            log.info("trial %3d  %s  %s", trial.number, short_vector(rates.values()), outcome)

    def _next(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin the next trial, or the last phase, with the same vector in every process."""
        first = trainer.is_global_zero
        point = trainer.strategy.broadcast(self.search.suggest() if first else None)
        if point is not None:
            self.search.begin(point)
            if self.search.undo_below > 0:
                self._before = take(module, trainer.optimizers)
        else:
            self._before = None
            best = self.search.best().number if first else None
            self.search.conclude(trainer.strategy.broadcast(best))
        self._set_vector(module)
        shrink_towards(module, self._initial, self.search.kept_part)
        if first:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        """Leave the folder as it is to be read, at the end of the search or if it is cut here."""
        search = self.search
        folder = Path(self.output_dir or trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        header = {"space": search.space.to_json(), "direction": "maximize", "seed": search.seed}
        write_journal(folder / JOURNAL, header, search.trials)
        best = search.incumbent or search.best()
        if best is None:
            return
        insight, learnt = look(search.optimizer) if search.incumbent else (None, None)
        ended = [trial for trial in search.trials if trial.state != "running"]
        point = {"model.dropout": list(search.vector_of(best))}
        write_results(folder, ended, best, point, kind=ALTERNATING, insight=learnt)
        if search.incumbent is None:
            return
        log.info("The last phase, with trial %d: %s", best.number, short_vector(search.vector))
        if insight is not None:
            tell(insight, folder)
            for logger in trainer.loggers:
                # W&B's logger takes pictures, and others that do so call it the same.
                if hasattr(logger, "log_image") and (folder / FIGURE).exists():
                    logger.log_image("search/insight", [str(folder / FIGURE)])
        log.info("Results: %s", folder / RESULTS)

    def _set_vector(self, module: pl.LightningModule) -> None:
        if isinstance(module, ERM):
            module.dropout = self.search.vector
        else:
            set_dropout(module, self.search.vector)

    def _phases(self, trainer: pl.Trainer) -> Phases:
        epochs, steps = trainer.max_epochs, trainer.estimated_stepping_batches
        if epochs is None or epochs < 1 or steps == float("inf"):
            raise SettingError(
                "DropoutSearch needs to know how long the training is. Set trainer.max_epochs."
            )
        return Phases.of_training(total_steps=int(steps), max_epochs=epochs, **self.lengths)

    def _check_alone(self, trainer: pl.Trainer) -> None:
        searches = [each for each in trainer.callbacks if isinstance(each, DropoutSearch)]
        if len(searches) > 1:
            raise SettingError(
                f"{len(searches)} callbacks set the dropout rates of one network, and would undo "
                "each other's. Keep one DropoutSearch."
            )


def _network(module: pl.LightningModule) -> Any:
    """Return what has the sites: their names then leave out that a method is around it."""
    return module.model if isinstance(module, ERM) else module
