"""One training, end to end: what it leaves, that it repeats, that nothing is lost."""

import csv

import pytest
import torch

from bayesft.app import search as run_trial
from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.app.network import build_network
from bayesft.app.train import fitted
from bayesft.methods.checkpoint import read_state
from bayesft.models import sleeping_sites
from bayesft.robustness import Curve
from tests.helpers.app import SMALL, composed


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_what_a_training_leaves(tmp_path, capsys):
    score = train(composed(tmp_path / "run", *SMALL))
    folder = tmp_path / "run"
    curve = Curve.from_json(folder / "test_curve.json")
    assert curve.sigmas == (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
    assert score == pytest.approx(curve.at([0.3, 0.6, 0.9, 1.2, 1.5]).mean)
    for name in ("config.yaml", "test_curve.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (folder / name).is_file(), name
    with open(folder / "metrics" / "version_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["val/drift_acc"]]) == 2
    assert len([row for row in rows if row["test/drift_acc"]]) == 1
    assert "sigma" in capsys.readouterr().out


def test_the_same_command_gives_the_same_network(tmp_path):
    scores, states = [], []
    for name in ("a", "b"):
        torch.manual_seed(len(name))
        scores.append(train(composed(tmp_path / name, *SMALL, "model.dropout=0.3")))
        states.append(read_state(tmp_path / name / "checkpoints" / "last.ckpt"))
    assert scores[0] == scores[1]
    assert same(*states)
    other = train(composed(tmp_path / "c", *SMALL, "model.dropout=0.3", "seed=1"))
    assert other != scores[0]


def test_the_best_epochs_weights_are_kept_and_tested(tmp_path):
    cfg = composed(tmp_path / "run", *SMALL, "trainer.max_epochs=4", "optimizer.lr=0.5")
    with fitted(cfg) as run:
        best = read_state(tmp_path / "run" / "checkpoints" / "best.ckpt")
        assert same(run.module.state_dict(), best)
        monitored = run.trainer.checkpoint_callback.best_model_score
    with open(tmp_path / "run" / "metrics" / "version_0" / "metrics.csv", newline="") as file:
        values = [float(r["val/drift_acc"]) for r in csv.DictReader(file) if r["val/drift_acc"]]
    assert monitored == pytest.approx(max(values))


def test_the_score_is_there_by_whatever_name_it_was_measured(tmp_path):
    name = (
        "+callbacks.drift_evaluation.name=robust",
        "callbacks.model_checkpoint.monitor=val/robust",
    )
    named = composed(tmp_path / "a", *SMALL, *name)
    assert train(named) == pytest.approx(train(composed(tmp_path / "b", *SMALL)))


def test_a_run_is_never_written_over(tmp_path):
    train(composed(tmp_path / "run", *SMALL))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(CommandError, match=r"holds a run already.*go on .*: resume=true"):
        train(composed(tmp_path / "run", *SMALL, "seed=1"))
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_stopped_training_goes_on_in_its_folder_and_keeps_its_log(tmp_path):
    folder, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"
    four = (*SMALL, "trainer.max_epochs=4", "+trainer.limit_train_batches=2", "scheduler=none")
    with fitted(composed(folder, *four, "+trainer.max_steps=4")):
        pass
    assert read_checkpoint(last)["global_step"] == 4
    first = (folder / "metrics" / "version_0" / "metrics.csv").read_text()
    with fitted(composed(folder, *four, f"ckpt_path='{last}'")) as run:
        assert (run.trainer.current_epoch, run.trainer.global_step) == (4, 8)
    assert read_checkpoint(last)["global_step"] == 8
    assert (folder / "metrics" / "version_0" / "metrics.csv").read_text() == first
    assert (folder / "metrics" / "version_1" / "metrics.csv").exists()


def test_the_last_state_is_of_the_last_epoch(tmp_path):
    """Also where no later epoch is the best."""
    worst = (*SMALL, "trainer.max_epochs=5", "callbacks.model_checkpoint.mode=min")
    with fitted(composed(tmp_path / "run", *worst)) as run:
        best, last = run.trainer.checkpoint_callbacks
    assert best.best_model_path.endswith("best.ckpt")
    assert read_checkpoint(best.best_model_path)["epoch"] < 4
    assert read_checkpoint(last.best_model_path)["epoch"] == 4
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt"}


def test_a_run_without_callbacks_is_never_written_over_either(tmp_path):
    """It leaves no checkpoint and no curve, but what its test has measured."""
    small = [each for each in SMALL if not each.startswith("callbacks.")]
    cfg = composed(tmp_path / "run", *small, "callbacks=none", "logger=none")
    assert train(cfg) is None
    with pytest.raises(CommandError, match="holds a run already"):
        train(cfg)


def test_a_run_that_failed_at_its_beginning_is_in_nobodys_way(tmp_path):
    wrong = composed(tmp_path / "run", *SMALL, "model.num_classes=5")
    with pytest.raises(CommandError):
        train(wrong)
    assert (tmp_path / "run" / "config.yaml").exists()
    assert train(composed(tmp_path / "run", *SMALL)) >= 0


def test_a_last_state_that_is_cut_off_is_told(tmp_path):
    """A full disk or a failing one: a run that is killed leaves it whole."""
    folder = tmp_path / "run"
    with fitted(composed(folder, *SMALL)):
        pass
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    again = (*SMALL, "resume=true")
    with pytest.raises(CommandError, match=r"last.ckpt.*cannot be read.*ckpt_path=.*best.ckpt"):
        train(composed(folder, *again))
    assert train(composed(folder, *again, f"ckpt_path='{last.with_name('best.ckpt')}'")) >= 0
    last.unlink()
    (folder / "test_curve.json").unlink()
    assert train(composed(folder, *again)) >= 0


def test_a_run_that_was_killed_in_its_test_is_tested_again(tmp_path):
    folder, again = tmp_path / "run", (*SMALL, "resume=true")
    score = train(composed(folder, *SMALL))
    scores = (folder / "test_scores.json").read_text()
    weights = (folder / "checkpoints" / "last.ckpt").read_bytes()
    (folder / "test_scores.json").unlink()
    assert train(composed(folder, *again)) == score
    assert (folder / "test_scores.json").read_text() == scores
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == weights


def test_a_run_does_not_go_on_with_cells_that_changed(tmp_path):
    folder, file = tmp_path / "run", tmp_path / "cells.csv"
    file.write_text("written,read\n" + "1,0.9\n0,0.1\n" * 10)
    settings = (
        *SMALL,
        "drift=measured",
        f"drift.file={file}",
        "drift.pairs=false",
        "evaluation.sigmas=[1]",
    )
    score = train(composed(folder, *settings))
    again = (*settings, "resume=true")
    assert train(composed(folder, *again)) == score
    file.write_text("written,read\n" + "1,0.8\n0,0.1\n" * 10)
    with pytest.raises(CommandError, match=r"other settings.*\n.*drift.sha256: \w+, not \w+"):
        train(composed(folder, *again))


def read_checkpoint(path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("seed", ["null", "0", "4294967295"])
def test_every_seed_is_a_seed(tmp_path, seed):
    cfg = composed(tmp_path / "run", *SMALL, f"seed={seed}", "trainer.max_epochs=1")
    with fitted(cfg):
        pass


def test_without_callbacks_and_logger(tmp_path):
    small = [each for each in SMALL if not each.startswith("callbacks.")]
    cfg = composed(tmp_path / "run", *small, "callbacks=none", "logger=none")
    assert train(cfg) is None


def test_a_network_that_came_in_eval_mode_drops(tmp_path):
    """As a function leaves it that loads its weights."""
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {"_target_": "tests.app.test_train.loaded", "width": 8, "dropout": [0.25]}
    with fitted(cfg) as run:
        assert run.module.model[2].training


def loaded(width: int) -> torch.nn.Module:
    return mine(width).eval()


def test_rates_of_layers_in_eval_mode_are_told_to_do_nothing(tmp_path):
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {"_target_": "tests.app.test_train.frozen", "sites": "block", "dropout": 0.25}
    with pytest.warns(UserWarning, match=r"rates of first drop nothing.*in training mode"):
        network = build_network(cfg)
    assert sleeping_sites(network) == ("first",)
    assert network.second.training


def frozen() -> torch.nn.Module:
    network = torch.nn.Sequential()
    network.flat = torch.nn.Flatten()
    for name in ("first", "second"):
        network.add_module(name, torch.nn.Linear(64, 64))
        network.add_module(f"{name}_relu", torch.nn.ReLU())
    network.last = torch.nn.Linear(64, 10)
    network.first.eval()
    return network


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_longer_training_than_its_learning_rate_is_told(tmp_path):
    with fitted(composed(tmp_path / "a", *SMALL)):
        pass
    last = f"ckpt_path='{tmp_path / 'a' / 'checkpoints' / 'last.ckpt'}'"
    longer = composed(tmp_path / "b", *SMALL, last, "trainer.max_epochs=20")
    with pytest.raises(CommandError, match=r"learning rate was to end.*max_epochs as it was"):
        train(longer)


def test_a_network_of_ones_own(tmp_path):
    """Any importable class: sites are found, and `dropout` is not handed to it."""
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {"_target_": "tests.app.test_train.mine", "width": 8, "dropout": [0.25]}
    with fitted(cfg) as run:
        assert run.module.dropout == (0.25,)


def mine(width: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, width),
        torch.nn.Dropout(),
        torch.nn.Linear(width, 10),
    )


@pytest.mark.filterwarnings("ignore:The weights of ERM are not finite")
def test_weights_that_are_no_numbers_are_told(tmp_path, caplog):
    """Their accuracy is 0, without an error."""
    for name, command in (("t", train), ("s", run_trial)):
        command(composed(tmp_path / name, *SMALL, "optimizer.lr=1e38", name="search"))
        assert f"not finite after the training in {tmp_path / name}" in caplog.text
    caplog.clear()
    train(composed(tmp_path / "u", *SMALL))
    assert "finite" not in caplog.text


def test_a_monitor_that_nobody_logs_is_told(tmp_path):
    monitor = "callbacks.model_checkpoint.monitor=val/drft_acc"
    with pytest.raises(CommandError, match=r"Lightning cannot train so.*val/drft_acc.*val/drift_a"):
        train(composed(tmp_path, *SMALL, monitor))


def test_what_a_run_goes_on_with_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    settings = (*SMALL, "resume=true")
    train(composed(tmp_path / "a", *settings))
    assert f"no training to go on with in {tmp_path / 'a'}: it begins" in caplog.text
    (tmp_path / "a" / "test_scores.json").unlink()
    train(composed(tmp_path / "a", *settings))
    assert f"Going on with the training in {tmp_path / 'a'}" in caplog.text
