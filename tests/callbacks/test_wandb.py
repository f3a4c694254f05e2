"""Weights & Biases with the real package, offline."""

import contextlib
import json
import logging

import pytest
import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import CSVLogger

from bayesft.data import DigitsDetectionDataModule
from bayesft.drift import LogNormalDrift
from bayesft.methods import ERM
from bayesft.models import faster_rcnn
from bayesft.tasks import Detection
from callbacks.example_detections import ExampleDetections
from callbacks.wandb_drift_curve import WandbDriftCurve
from callbacks.wandb_logger import WandbRunLogger, offline_reason
from tests.callbacks.test_drift_evaluation import drift_evaluation
from tests.callbacks.test_dropout_search import search as dropout_search
from tests.helpers.trainings import digits, erm, trainer
from tests.helpers.wandb_file import read_run


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    """A machine on which nobody has logged in to W&B."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def settings_are_read_anew(monkeypatch):
    """W&B reads the environment once, and would go on with this test's in the next."""
    yield
    monkeypatch.undo()
    wandb.teardown()


def test_a_run_offline_holds_rates_curve_config_and_group(no_key, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        folder = tmp_path / "a b"
        logger = WandbRunLogger(project="p", save_dir=str(folder), group="one search")
    assert "offline" in caplog.text
    assert f"wandb sync '{folder}/wandb'/offline-run-*" in caplog.text
    run = trainer(tmp_path, drift_evaluation(), WandbDriftCurve(), max_epochs=1, logger=logger)
    run.fit(erm(dropout=[0.1, 0.4]), digits())
    logger.close()
    assert wandb.run is None  # the next training starts one of its own
    [path] = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    run, config, history = read_run(path)
    assert run.run_group == "one search"
    assert json.loads(config["dropout"]) == [0.1, 0.4]
    assert 0 <= json.loads(history["val/drift_acc"]) <= 1
    assert any("drift_curve" in key for key in history)


@pytest.mark.parametrize("fails", [False, True])
def test_a_training_that_fails_is_no_success(no_key, tmp_path, monkeypatch, fails):
    class Fails(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            if fails:
                raise RuntimeError("it is broken")

    logger = WandbRunLogger(project="p", save_dir=str(tmp_path))
    codes = []
    finish = logger.experiment.finish
    monkeypatch.setattr(
        logger.experiment, "finish", lambda exit_code=None: codes.append(exit_code) or finish()
    )
    run = trainer(tmp_path, Fails(), max_epochs=1, logger=logger)
    with contextlib.suppress(RuntimeError):
        run.fit(erm(), digits())
    logger.close()
    assert codes == [int(fails)]


def test_a_search_while_training_shows_its_vector_and_what_it_learnt(no_key, tmp_path):
    logger = WandbRunLogger(project="p", save_dir=str(tmp_path))
    run = trainer(tmp_path, dropout_search(), max_epochs=11, logger=logger)
    run.fit(erm(), digits())
    logger.close()
    [path] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    _, _, history = read_run(path)
    assert 0 <= json.loads(history["search/dropout/fc1"]) <= 0.8
    assert 0 <= json.loads(history["search/objective"]) <= 1
    assert any("search/insight" in key for key in history)


def test_a_detector_shows_what_it_finds(no_key, tmp_path):
    """One picture, that which lies in the folder."""
    torch.manual_seed(0)
    model = faster_rcnn(backbone="small", channels=1, image_size=48, num_classes=11)
    data = DigitsDetectionDataModule(
        image_size=48, train_size=8, val_size=4, test_size=4, batch_size=4, digit_size=(12, 20)
    )
    logger = WandbRunLogger(project="p", save_dir=str(tmp_path))
    pictures = ExampleDetections(LogNormalDrift(), output_dir=tmp_path / "pictures")
    run = trainer(tmp_path, pictures, max_epochs=1, logger=logger)
    run.test(ERM(model, task=Detection(11)), datamodule=data, verbose=False)
    logger.close()
    [path] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    _, _, history = read_run(path)
    assert any(key.startswith("test/example_detections") for key in history)
    [logged] = (tmp_path / "wandb").rglob("media/images/test/example_detections*.png")
    assert logged.read_bytes() == (tmp_path / "pictures" / "example_detections.png").read_bytes()


def test_two_trainings_in_one_process_are_two_runs(no_key, tmp_path):
    for number in range(2):
        logger = WandbRunLogger(project="p", save_dir=str(tmp_path), group="g")
        logger.log_metrics({"number": number})
        logger.close()
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_a_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(wandb, "login", lambda **settings: True)

    def unreachable(*args, **kwargs):
        raise OSError("unreachable")

    monkeypatch.setattr("socket.create_connection", unreachable)
    monkeypatch.setattr("callbacks.wandb_logger.getproxies", dict)
    assert "does not answer (unreachable)" in offline_reason()
    # A socket of one's own says nothing of what a proxy can reach.
    proxies = {"https": "http://proxy:3128", "http": "http://proxy:3128"}
    monkeypatch.setattr("callbacks.wandb_logger.getproxies", lambda: proxies)
    monkeypatch.setattr("callbacks.wandb_logger.proxy_bypass", lambda host: False)
    assert offline_reason() is None
    monkeypatch.setattr("callbacks.wandb_logger.proxy_bypass", lambda host: True)
    assert "does not answer" in offline_reason()


def test_wandb_mode_decides_if_it_is_set(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with caplog.at_level(logging.WARNING):
        logger = WandbRunLogger(project="p", save_dir=str(tmp_path))
    assert "offline" not in caplog.text
    assert "mode" not in logger._wandb_init


def test_without_wandb_the_curve_callback_does_nothing(tmp_path):
    logger = CSVLogger(tmp_path, name=None, version="")
    run = trainer(tmp_path, drift_evaluation(), WandbDriftCurve(), max_epochs=1, logger=logger)
    run.fit(erm(), digits())
    assert wandb.run is None
