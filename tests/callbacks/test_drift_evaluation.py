"""DriftEvaluation: what it logs, when, and that training never notices it."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.robustness import Curve, evaluate
from callbacks import DriftEvaluation
from tests.helpers.trainings import digits, erm, trainer

SIGMAS = [0.5, 1.0]


def drift_evaluation(**settings) -> DriftEvaluation:
    defaults = {"draws": 4, "images_per_draw": 20, "test_draws": 4, "test_images_per_draw": 20}
    return DriftEvaluation(LogNormalDrift(), SIGMAS, **defaults | settings)


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def read_csv(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Watch(pl.Callback):
    """Remembers the weights after every step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.steps.append(weights(pl_module))


def test_training_is_the_same_to_the_bit_with_and_without_it(tmp_path):
    paths = []
    for extra in ([], [drift_evaluation()]):
        watch = Watch()
        module = erm(dropout=0.3)
        trainer(tmp_path, *extra, watch, max_epochs=3).fit(module, digits())
        paths.append(watch.steps)
    assert len(paths[0]) == 12
    assert all(same(a, b) for a, b in zip(*paths, strict=True))


def test_what_it_logs_is_what_evaluate_gives(tmp_path):
    module, data = erm(), digits()
    run = trainer(tmp_path, drift_evaluation(seed=5), max_epochs=1)
    run.fit(module, data)
    curve = evaluate(module, data.val_set, LogNormalDrift(), SIGMAS, 4, images_per_draw=20, seed=5)
    logged = {k: v.item() for k, v in run.callback_metrics.items() if k.startswith("val/drift")}
    assert logged == {
        "val/drift_acc": pytest.approx(curve.mean),
        "val/drift_acc_stderr": pytest.approx(curve.stderr),
        "val/drift_acc/0.5": pytest.approx(curve.points[0].mean),
        "val/drift_acc/1": pytest.approx(curve.points[1].mean),
    }


class Measured(pl.Callback):
    """Remembers the epochs at which the curve was measured."""

    def __init__(self, evaluation):
        self.evaluation, self.epochs, self.last = evaluation, [], None

    def on_validation_end(self, trainer, pl_module):
        if self.evaluation.val_curve is not self.last:
            self.epochs.append(trainer.current_epoch)
        self.last = self.evaluation.val_curve


@pytest.mark.parametrize(
    ("every", "epochs"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 2, 5, 6]), (10, [0, 6])]
)
def test_every_n_epochs_and_always_the_first_and_the_last(tmp_path, every, epochs):
    evaluation = drift_evaluation(every_n_epochs=every)
    measured = Measured(evaluation)
    checkpoint = ModelCheckpoint(tmp_path, monitor="val/drift_acc", mode="max")
    run = trainer(
        tmp_path, evaluation, measured, checkpoint, max_epochs=7, enable_checkpointing=True
    )
    run.fit(erm(), digits(batch_size=512))
    assert measured.epochs == epochs
    assert checkpoint.best_model_score is not None


def test_the_last_is_the_last_that_validates(tmp_path):
    evaluation = drift_evaluation(every_n_epochs=10)
    measured = Measured(evaluation)
    settings = {"max_epochs": 5, "check_val_every_n_epoch": 2}
    trainer(tmp_path, evaluation, measured, **settings).fit(erm(), digits(batch_size=512))
    assert measured.epochs == [1, 3]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_training_after_a_validation_or_another_training_measures_its_first_epoch(tmp_path):
    """A checkpoint's monitor wants a value there."""
    evaluation = drift_evaluation(every_n_epochs=3)
    for epochs in (2, 1):
        checkpoint = ModelCheckpoint(tmp_path, monitor="val/drift_acc", mode="max")
        settings = {"max_epochs": epochs, "enable_checkpointing": True}
        run = trainer(tmp_path, evaluation, checkpoint, **settings)
        module, data = erm(), digits(batch_size=512)
        run.validate(module, data, verbose=False)
        run.fit(module, data)
        assert checkpoint.best_model_score is not None


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_training_that_was_cut_evaluates_no_more_than_it_would_have(tmp_path):
    """Or another epoch's weights could be kept as the best."""
    seen = []

    class Counted(DriftEvaluation):
        def _evaluate(self, trainer, *args, **settings):
            seen.append(trainer.current_epoch)
            return super()._evaluate(trainer, *args, **settings)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 1

    def run(folder, *callbacks, ckpt_path=None):
        evaluation = Counted(
            LogNormalDrift(), SIGMAS, draws=4, images_per_draw=20, every_n_epochs=4
        )
        best = ModelCheckpoint(folder, monitor="val/drift_acc", mode="max", save_last=True)
        settings = {"max_epochs": 7, "enable_checkpointing": True}
        training = trainer(folder, evaluation, best, *callbacks, **settings)
        training.fit(erm(dropout=0.0), digits(), ckpt_path=ckpt_path, weights_only=True)
        return best

    whole = run(tmp_path / "whole")
    assert seen == [0, 3, 6]
    seen.clear()
    run(tmp_path / "cut", Stop())
    resumed = run(tmp_path / "cut", ckpt_path=tmp_path / "cut" / "last.ckpt")
    assert seen == [0, 3, 6]
    assert resumed.best_model_score == whole.best_model_score
    assert resumed.best_model_path.split("/")[-1] == whole.best_model_path.split("/")[-1]


def test_nothing_in_the_sanity_check(tmp_path):
    evaluation = drift_evaluation()

    class AfterSanity(pl.Callback):
        def on_sanity_check_end(self, trainer, pl_module):
            assert evaluation.val_curve is None

    run = trainer(tmp_path, evaluation, AfterSanity(), max_epochs=1, num_sanity_val_steps=2)
    run.fit(erm(), digits())
    assert evaluation.val_curve is not None


def test_no_checkpoint_and_no_average_sees_a_drifted_weight(tmp_path):
    """The best checkpoint holds what the network was at that epoch's end, to the bit."""

    class Clean(pl.Callback):
        def __init__(self):
            self.epochs = []

        def on_train_epoch_end(self, trainer, pl_module):
            self.epochs.append(weights(pl_module))

    clean = Clean()
    checkpoint = ModelCheckpoint(
        tmp_path, monitor="val/drift_acc", mode="max", save_top_k=-1, filename="{epoch}"
    )
    run = trainer(
        tmp_path, drift_evaluation(), clean, checkpoint, max_epochs=3, enable_checkpointing=True
    )
    run.fit(erm(), digits())
    for epoch in range(3):
        saved = torch.load(tmp_path / f"epoch={epoch}.ckpt", weights_only=True)["state_dict"]
        assert same(saved, clean.epochs[epoch])


def test_averaged_weights_are_the_same_with_and_without_it(tmp_path):
    averages = []
    for extra in ([], [drift_evaluation()]):
        module = erm()
        trainer(tmp_path, EMAWeightAveraging(decay=0.9), *extra, max_epochs=2).fit(module, digits())
        averages.append(weights(module))
    assert same(*averages)


def test_the_test_curve_is_written_beside_the_run(tmp_path):
    evaluation = drift_evaluation(output_dir=tmp_path / "deep" / "run")
    run = trainer(tmp_path, evaluation, max_epochs=1)
    module = erm()
    run.fit(module, digits())
    before = weights(module)
    run.test(module, datamodule=digits(), verbose=False)
    assert same(weights(module), before)
    curve = Curve.from_json(tmp_path / "deep" / "run" / "test_curve.json")
    assert curve.sigmas == (0.0, 0.5, 1.0)
    assert curve.scores == evaluation.test_curve.scores
    assert run.callback_metrics["test/drift_acc"] == pytest.approx(curve.at(SIGMAS).mean)
    rows = read_csv(tmp_path / "deep" / "run" / "test_curve.csv")
    assert [float(row["mean"]) for row in rows] == [point.mean for point in curve.points]


def test_two_of_them_have_names_and_files_of_their_own(tmp_path):
    both = [drift_evaluation(output_dir=tmp_path, name=name) for name in (None, "other")]
    both[1].sigmas = both[1].test_sigmas = [0.7]
    run = trainer(tmp_path, *both, max_epochs=1)
    module = erm()
    run.fit(module, digits())
    assert run.callback_metrics["val/other"] == pytest.approx(both[1].val_curve.mean)
    run.test(module, datamodule=digits(), verbose=False)
    assert Curve.from_json(tmp_path / "test_curve.json").sigmas == (0.0, 0.5, 1.0)
    assert Curve.from_json(tmp_path / "other_test_curve.json").sigmas == (0.7,)


@pytest.mark.parametrize("name", ["drift_acc", None])
def test_two_of_one_name_are_refused(tmp_path, name):
    """They would log one score over the other, and a checkpoint would take the last."""
    run = trainer(tmp_path, drift_evaluation(), drift_evaluation(name=name))
    with pytest.raises(SettingError, match=r"`val/drift_acc`.*another `name`"):
        run.fit(erm(), digits())


def test_a_training_without_validation_is_told_that_nothing_was_measured(tmp_path, caplog):
    trainer(tmp_path, drift_evaluation(), max_epochs=1).fit(erm(), digits())
    assert "measured nothing" not in caplog.text
    trainer(tmp_path, drift_evaluation(), limit_val_batches=0).fit(erm(), digits())
    assert "DriftEvaluation has measured nothing" in caplog.text


def test_the_logger_gets_every_value(tmp_path):
    logger = CSVLogger(tmp_path, name=None, version="")
    run = trainer(tmp_path, drift_evaluation(), max_epochs=2, logger=logger)
    run.fit(erm(), digits())
    rows = read_csv(tmp_path / "metrics.csv")
    for name in ("val/drift_acc", "val/drift_acc_stderr", "val/drift_acc/0.5", "val/drift_acc/1"):
        assert len([row for row in rows if row[name]]) == 2


def test_validate_outside_of_a_training_is_always_meant(tmp_path):
    evaluation = drift_evaluation(every_n_epochs=5)
    run = trainer(tmp_path, evaluation)
    run.validate(erm(), datamodule=digits(), verbose=False)
    assert evaluation.val_curve is not None


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
@pytest.mark.parametrize("hidden", [(16,), (300,), (1000, 1000)])
def test_networks_of_every_size_in_lightnings_inference_mode(tmp_path, hidden, backend):
    evaluation = drift_evaluation(output_dir=tmp_path, backend=backend)
    run = trainer(tmp_path, evaluation)
    module = erm(hidden=hidden)
    before = weights(module)
    run.validate(module, datamodule=digits(), verbose=False)
    run.test(module, datamodule=digits(), verbose=False)
    assert evaluation.val_curve.points[0].draws == evaluation.test_curve.points[0].draws == 4
    assert same(weights(module), before)
    assert not any(parameter.is_inference() for parameter in module.parameters())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_the_precision_of_the_training_is_that_of_the_evaluation(tmp_path, precision):
    """On the same chips: a network in half precision scores about what it does in full."""
    curves = []
    for each in ("32-true", precision):
        evaluation = drift_evaluation(draws=20)
        run = trainer(tmp_path, evaluation, precision=each, max_epochs=2)
        torch.manual_seed(0)
        run.fit(erm(dropout=0.0), digits())
        curves.append(torch.tensor(evaluation.val_curve.scores))
    assert curves[1].std(dim=1).min() > 0.05
    assert (curves[0] - curves[1]).abs().mean() < 0.08


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "`draws`"),
        ({"images_per_draw": 0}, "`images_per_draw`"),
        ({"test_draws": 0}, "`test_draws`"),
        ({"test_images_per_draw": -1}, "`test_images_per_draw`"),
        ({"every_n_epochs": 0}, "`every_n_epochs`"),
        ({"seed": 3, "test_seed": 3}, "share the seed 3"),
        ({"seed": -1}, "`seed` to be an integer, 0 or larger, but got -1"),
        ({"test_seed": 0.5}, "`seed` to be an integer, 0 or larger, but got 0.5"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        drift_evaluation(**settings)


def test_a_bad_sigma_is_named():
    with pytest.raises(SettingError, match=r"`sigma`.*-1"):
        DriftEvaluation(LogNormalDrift(), [-1])
    with pytest.raises(SettingError, match="at least one strength"):
        DriftEvaluation(LogNormalDrift(), [])
