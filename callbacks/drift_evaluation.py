"""Measuring the score under drift while a network trains, and once at its end."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from bayesft.drift import Chip, Drift
from bayesft.errors import SettingError
from bayesft.report.runs import TEST_CURVE
from bayesft.robustness import Curve, Score
from bayesft.robustness.amount import amount, check_count, check_sigmas
from bayesft.robustness.backends import AUTO, check_backend
from callbacks.measuring import measure, only_loader, score_name

log = logging.getLogger(__name__)

_STATE = "drift_evaluation"


class DriftEvaluation(pl.Callback):
    """Log the expected score under drift at validation end; write the curve at test end.

    At the end of a validation it logs `val/drift_acc` (the mean over sigmas),
    `val/drift_acc_stderr` and `val/drift_acc/<sigma>`, before any ModelCheckpoint
    looks, so that `ModelCheckpoint(monitor="val/drift_acc", mode="max")` works. At the end of
    a test it logs the same under `test/` and writes `test_curve.json` and
    `test_curve.csv`; the second and later ones of a trainer, which need a `name` each, write
    `<name>_test_curve.json` and `.csv`. The weights drift inside one call of `evaluate`
    alone, so no checkpoint, averaged copy or logger sees a drifted weight.

    It serves any LightningModule whose loaders give what the score reads. In a training
    on several devices the draws are divided over them; every process logs the whole.

    Args:
        drift: what happens to a weight.
        sigmas: the strengths that `drift_acc` is the mean over.
        draws: chips per validation.
        images_per_draw: fresh images for each; None for as many as a pilot finds best,
            with `target_stderr` alone.
        target_stderr: the standard error to reach at each sigma, in place of `draws`.
        seed: of the validation's chips; the same chips at every epoch.
        every_n_epochs: validations in between are left out; the first never is, so that a
            monitor always has a value, nor the last of `max_epochs` (where a training
            is stopped earlier nobody knows that it is the last). A training that goes on
            from a checkpoint goes on with the values that it had.
        test_sigmas: further strengths for the test curve, such as 0.
        test_draws: chips for the test curve.
        test_images_per_draw: fresh images for each.
        test_target_stderr: the standard error to reach, in place of `test_draws`.
        test_seed: of the test's chips, which no validation may share.
        score: a function of (module, batch); by default that of the module's task, and
            accuracy from logits if it has none.
        backend: see `bayesft.robustness.evaluate`.
        name: what the score is called in the logs; by default `drift_` and the task's
            name of its score, `drift_acc`.
        output_dir: where the test curve is written; the trainer's
            `default_root_dir` if None.

    Raises:
        SettingError: a setting has a value that it cannot have; at the start also: another one
            of the same trainer has the same name.
    """

    def __init__(
        self,
        drift: Drift,
        sigmas: Sequence[float],
        *,
        draws: int = 50,
        images_per_draw: int | None = 50,
        target_stderr: float | None = None,
        seed: int = 1,
        every_n_epochs: int = 1,
        test_sigmas: Sequence[float] = (0.0,),
        test_draws: int = 200,
        test_images_per_draw: int | None = 100,
        test_target_stderr: float | None = None,
        test_seed: int = 3,
        score: Score | None = None,
        backend: str = AUTO,
        name: str | None = None,
        output_dir: str | Path | None = None,
    ) -> None:
        if seed == test_seed:
            raise SettingError(
                f"The validation's and the test's chips share the seed {seed}: a network chosen "
                "on some chips must be tested on others. Give them different seeds."
            )
        self.drift = drift
        self.sigmas = list(check_sigmas(drift, sigmas))
        self.test_sigmas = sorted({*self.sigmas, *map(drift.check, test_sigmas)})
        self.amount = amount(draws, images_per_draw, target_stderr)
        self.seed = Chip(seed, 0).seed
        self.every_n_epochs = check_count("every_n_epochs", every_n_epochs)
        self.test_amount = amount(
            test_draws, test_images_per_draw, test_target_stderr, prefix="test_"
        )
        self.test_seed = Chip(test_seed, 0).seed
        self.score = score
        self.backend = check_backend(backend)
        self.name = name
        self.output_dir = output_dir
        self.val_curve: Curve | None = None
        self.test_curve: Curve | None = None
        # What was logged last, of a training that goes on.
        self._logged: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        names = [each._name_in(pl_module) for each in _all_of(trainer)]
        if names.count(own := self._name_in(pl_module)) > 1:
            raise SettingError(
                f"Two DriftEvaluation callbacks of one trainer would log `val/{own}`. Give one of "
                "them another `name`."
            )
        if stage == TrainerFn.FITTING:
            # Of a training before, or a validation alone. What a checkpoint has comes after this.
            self.val_curve, self._logged = None, {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Here and not in `on_validation_end`, where Lightning no longer accepts a
        # log and ModelCheckpoint has looked already.
        if trainer.sanity_checking:
            return
        if not self._is_due(trainer):
            if self.val_curve is None:
                # For a monitor, which finds them where the training was not cut.
                values = {name: torch.tensor(value) for name, value in self._logged.items()}
                trainer.callback_metrics.update(values)
            return
        self.val_curve = self._evaluate(
            trainer,
            pl_module,
            only_loader(trainer.val_dataloaders, "validation", "DriftEvaluation"),
            sigmas=self.sigmas,
            seed=self.seed,
            **self.amount,
        )
        self._logged = self._log(pl_module, "val", self.val_curve)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._logged and trainer.global_step > 0:
            log.warning(
                "DriftEvaluation has measured nothing, for there was no validation. It takes a "
                "`validation_step` and a validation loader, and trainer.limit_val_batches above 0."
            )

    # Not `state_dict`: Lightning would refuse two of these.
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint.setdefault(_STATE, {})[self._name_in(pl_module)] = self._logged

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._logged = dict(checkpoint.get(_STATE, {}).get(self._name_in(pl_module), {}))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.test_curve = self._evaluate(
            trainer,
            pl_module,
            only_loader(trainer.test_dataloaders, "test", "DriftEvaluation"),
            sigmas=self.test_sigmas,
            seed=self.test_seed,
            **self.test_amount,
        )
        self._log(pl_module, "test", self.test_curve)
        if trainer.is_global_zero:
            folder = Path(self.output_dir or trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            first = _all_of(trainer)[0] is self
            path = folder / (TEST_CURVE if first else f"{self._name_in(pl_module)}_{TEST_CURVE}")
            self.test_curve.to_json(path)
            self.test_curve.to_csv(path.with_suffix(".csv"))

    def _is_due(self, trainer: pl.Trainer) -> bool:
        # A `trainer.validate` outside of a training is always meant.
        if trainer.state.fn != TrainerFn.FITTING:
            return True
        epoch = trainer.current_epoch
        last = epoch + (trainer.check_val_every_n_epoch or 1) >= trainer.max_epochs > 0
        return not self._logged or last or (epoch + 1) % self.every_n_epochs == 0

    def _evaluate(
        self, trainer: pl.Trainer, module: pl.LightningModule, loader: DataLoader, **settings: Any
    ) -> Curve:
        return measure(
            trainer, module, loader, self.drift, score=self.score, backend=self.backend, **settings
        )

    def _log(self, module: pl.LightningModule, stage: str, curve: Curve) -> dict[str, float]:
        objective = curve.at(self.sigmas)
        name = f"{stage}/{self._name_in(module)}"
        values = {name: objective.mean, f"{name}_stderr": objective.stderr}
        values |= {f"{name}/{point.sigma:g}": point.mean for point in curve.points}
        # Every process has the whole curve: nothing to reduce.
        module.log_dict(values)
        return values

    def _name_in(self, module: pl.LightningModule) -> str:
        return self.name or f"drift_{score_name(module)}"


def _all_of(trainer: pl.Trainer) -> list[DriftEvaluation]:
    return [each for each in trainer.callbacks if isinstance(each, DriftEvaluation)]
