"""A search end to end on digits: fair, on validation data, with a report to be trusted."""

import csv
import json
import math
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

from bayesft.app import search as run_trial
from bayesft.app.commands import retrain_command
from bayesft.app.errors import CommandError
from bayesft.app.report import SearchReport, report_search
from bayesft.app.train import fitted
from bayesft.data import DigitsDataModule
from bayesft.methods.checkpoint import read_state
from bayesft.report import show
from bayesft.robustness import Curve, paired_difference, sampler
from tests.helpers.app import ROOT, SMALL, composed, search
from tests.helpers.sweeps import events, results

TRIALS = "hydra.sweeper.n_trials=4"


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a search of four short trials."""
    folder = tmp_path_factory.mktemp("search") / "s"
    search(folder, *SMALL, TRIALS, "hydra.sweeper.n_initial=3")
    return folder


def test_a_trial_gives_the_objective_its_error_and_the_clean_accuracy(tmp_path):
    cfg = composed(tmp_path / "t", *SMALL, name="search")
    returned = run_trial(cfg)
    mean, stderr = returned["value"]
    # Of every validation image, each once.
    correct = returned["clean_accuracy"] * cfg.data.val_size
    assert correct == pytest.approx(round(correct))
    assert returned["clean_accuracy"] > mean
    curve = Curve.from_json(tmp_path / "t" / "objective_curve.json")
    assert (mean, stderr) == (curve.mean, curve.stderr)
    assert curve.sigmas == (0.3, 0.6, 0.9, 1.2, 1.5)
    assert curve.points[0].draws == 20
    assert stderr > 0


def test_the_backend_is_for_all_that_is_measured(tmp_path, monkeypatch):
    taken = []
    choose = sampler.choose

    def noted(name, *arguments, **settings):
        taken.append(name)
        return choose(name, *arguments, **settings)

    monkeypatch.setattr(sampler, "choose", noted)
    run_trial(composed(tmp_path, *SMALL, "evaluation.backend=vmap", name="search"))
    # Of the validations and of the objective.
    assert len(taken) > 1
    assert set(taken) == {"vmap"}
    with pytest.raises(CommandError, match=r"`evaluation.backend`.*'fast'"):
        run_trial(composed(tmp_path / "x", *SMALL, "evaluation.backend=fast", name="search"))


def test_the_test_set_is_read_after_the_search_and_once_for_each_network(tmp_path, monkeypatch):
    """A trial may not read it; the report reads it for the best and for plain training."""
    reads = []
    load = DigitsDataModule.load_test
    monkeypatch.setattr(DigitsDataModule, "load_test", lambda self: reads.append(1) or load(self))
    told = []
    search_task = run_trial

    def task(cfg):
        assert not reads
        told.append(1)
        return search_task(cfg)

    monkeypatch.setattr("bayesft.app.search", task)
    search(tmp_path / "s", *SMALL, "hydra.sweeper.n_trials=3")
    assert len(told) == 3
    found = results(tmp_path / "s")
    compared = {found["best_folder"], found["first_folder"]}
    assert {path.parent.name for path in (tmp_path / "s").glob("*/test_curve.json")} == compared
    assert len(reads) == len(compared)
    search(tmp_path / "s", *SMALL, "hydra.sweeper.n_trials=3")
    assert len(reads) == len(compared)


def test_every_site_has_a_rate_and_the_first_two_trials_are_the_known_ones(finished):
    space = events(finished, "study")[0]["space"]
    assert list(space) == ["model.dropout[fc1]", "model.dropout[fc2]"]
    assert all((d["low"], d["high"]) == (0.0, 0.8) for d in space.values())
    asked = [list(e["params"].values()) for e in events(finished, "ask")]
    assert asked[:2] == [[0.0, 0.0], [0.2, 0.2]]


def test_trials_start_from_the_same_weights_and_see_the_same_batches(tmp_path):
    """After one step without dropout in between, only the rates could have made a difference."""
    states = []
    for rates in ("[0,0]", "[0,0.7]"):
        cfg = composed(
            tmp_path / rates, *SMALL, f"model.dropout={rates}", "optimizer.lr=0.0", name="search"
        )
        with fitted(cfg) as run:
            states.append(run.module.state_dict())
            batch = next(iter(run.data.train_dataloader()))
        states.append({"images": batch[0], "labels": batch[1]})
    assert same(states[0], states[2])
    assert same(states[1], states[3])


def test_the_report(finished):
    found = results(finished)
    assert found["num_trials"] == 4
    assert set(found["best_params"]) == {"model.dropout"}
    best, erm = finished / found["best_folder"], finished / found["first_folder"]
    with Image.open(finished / "curves.png") as figure:
        assert figure.size[0] > 600
    ours, theirs = (Curve.from_json(folder / "test_curve.json") for folder in (best, erm))
    assert ours.sigmas == theirs.sigmas == (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
    assert math.isfinite(paired_difference(ours, theirs).value)


@pytest.mark.parametrize(
    "other",
    [
        {"drift": {"target": "crossbar"}},
        {"evaluation": {"sigmas": [0.4, 0.8]}},
    ],
)
def test_networks_that_were_tested_in_two_ways_are_not_compared(finished, tmp_path, capsys, other):
    """A search may go on with other fixed overrides, which it warns of."""
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    found = results(folder)
    first = folder / found["first_folder"]
    found |= {"best_folder": "1", "best_trial": 1}
    cfg = OmegaConf.load(first / "config.yaml")
    OmegaConf.save(OmegaConf.merge(cfg, other), first / "config.yaml")
    (first / "test_curve.json").unlink(missing_ok=True)
    report_search(folder, found)
    shown = capsys.readouterr().out
    table, told = shown.split("ERM is not compared, because it was tested in another way.")
    assert "BayesFT" in table
    assert "ERM" not in table
    assert "Train it again" in told


def test_a_curve_that_was_cut_is_measured_again(finished, tmp_path, capsys):
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    found = results(folder)
    path = folder / found["best_folder"] / "test_curve.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    report_search(folder, found)
    assert path.read_text() == whole
    assert "Test accuracy under drift" in capsys.readouterr().out


def test_networks_are_compared_where_both_were_tested(finished, tmp_path, capsys):
    """A search may go on with other strengths for its test."""
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    found = results(folder) | {"best_folder": "1", "best_trial": 1}
    first = folder / found["first_folder"]
    cfg = OmegaConf.load(first / "config.yaml")
    cfg.evaluation.test.sigmas = [0.0, 0.1]
    OmegaConf.save(cfg, first / "config.yaml")
    (first / "test_curve.json").unlink(missing_ok=True)
    report_search(folder, found)
    shown = capsys.readouterr().out
    assert "BayesFT − ERM" in shown
    assert "│              0 │" in shown
    assert " 0.1 " not in shown


def test_a_report_that_fails_is_no_success(finished, tmp_path, caplog):
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())["best_folder"]
    shutil.rmtree(folder / best)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    with pytest.raises(SystemExit) as ended:
        SearchReport().on_multirun_end(config)
    assert ended.value.code == 1
    assert "its report failed: FileNotFoundError" in caplog.text
    assert f"hydra.sweep.dir={folder} makes it" in caplog.text
    assert "Traceback" in caplog.text


def test_a_report_that_fails_by_a_setting_is_told_without_a_traceback(finished, tmp_path, caplog):
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    best = folder / results(folder)["best_folder"]
    (best / "test_curve.json").unlink()
    cfg = OmegaConf.load(best / "config.yaml")
    cfg.evaluation.test.draws = 0
    OmegaConf.save(cfg, best / "config.yaml")
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    with pytest.raises(SystemExit):
        SearchReport().on_multirun_end(config)
    assert "its report failed: CommandError" in caplog.text
    assert "Traceback" not in caplog.text


def test_the_table_shows_best_against_erm(finished, capsys):
    best = results(finished) | {"best_trial": 3, "best_folder": "3"}
    report_search(finished, best)
    shown = capsys.readouterr().out
    assert "Test accuracy under drift (trial 3)" in shown
    assert "BayesFT − ERM = " in shown
    assert "on the same chips and images: of these two networks" in shown
    assert retrain_command(finished / "3") in shown
    assert str(finished / "curves.png") in shown
    [weights] = [line.split()[1] for line in shown.splitlines() if line.startswith("Weights:")]
    assert weights == str(finished / "3" / "weights.ckpt")
    assert read_state(weights)


def test_what_was_learnt_of_the_sites(finished, capsys):
    """Four trials are enough for a fit, and too few to believe it."""
    insight = results(finished)["insight"]
    assert set(insight["dimensions"]) == {"model.dropout[fc1]", "model.dropout[fc2]"}
    assert insight["verdict"].startswith("too few trials: 4 finished")
    with Image.open(finished / "insight.png") as figure:
        assert figure.size[0] > 600
    report_search(finished, results(finished))
    assert f"Insight: {finished / 'insight.png'}" in capsys.readouterr().out


def test_when_plain_training_was_best_the_report_says_so(finished, capsys):
    report_search(finished, results(finished) | {"best_trial": 0, "best_folder": "0"})
    shown = capsys.readouterr().out
    assert "No trial was better than the first." in shown
    assert "ERM" in shown
    assert "BayesFT" not in shown


def test_the_command_it_prints_trains_the_best_again_to_the_bit(finished, tmp_path):
    best = finished / results(finished)["best_folder"]
    command = shlex.split(retrain_command(best))
    assert command[:2] == ["python", "train.py"]
    with fitted(composed(tmp_path / "again", *command[2:])) as run:
        again = run.module.state_dict()
    assert same(again, read_state(best / "weights.ckpt"))


def test_each_trials_folder_tells_what_it_was(finished):
    for event in events(finished, "tell"):
        folder = finished / event["folder"]
        cfg = yaml.safe_load((folder / "config.yaml").read_text())
        asked = next(e for e in events(finished, "ask") if e["number"] == event["number"])
        assert cfg["model"]["dropout"] == list(asked["params"].values())
        assert json.loads((folder / "outcome.json").read_text())["value"] == event["value"]
        [log] = folder.glob("metrics/*/metrics.csv")
        with open(log, newline="") as file:
            rows = list(csv.DictReader(file))
        assert float(rows[-1]["objective"]) == pytest.approx(event["value"])


def test_a_fixed_vector_and_a_swept_learning_rate(tmp_path):
    search(
        tmp_path / "s",
        *SMALL,
        "model.dropout=0.1",
        "optimizer.lr=tag(log,interval(1e-3,3e-2))",
        "hydra.sweeper.n_trials=2",
    )
    asked = [e["params"] for e in events(tmp_path / "s", "ask")]
    assert asked[0] == {"optimizer.lr": 0.01}
    assert 1e-3 <= asked[1]["optimizer.lr"] <= 3e-2
    cfg = yaml.safe_load((tmp_path / "s" / "1" / "config.yaml").read_text())
    assert cfg["scheduler"]["max_lr"] == asked[1]["optimizer.lr"]


@pytest.mark.slow
def test_on_digits_the_best_trial_beats_plain_training(tmp_path):
    """The README's first command, whole: by more than three standard errors on the test curve."""
    run = subprocess.run(
        [sys.executable, "search.py", "-m", "hydra/sweeper=bayesft", f"hydra.sweep.dir={tmp_path}"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = results(tmp_path)
    assert (found["num_trials"], found["num_failed"]) == (20, 0)
    ours, erm = (
        Curve.from_json(tmp_path / found[name] / "test_curve.json")
        for name in ("best_folder", "first_folder")
    )
    difference = paired_difference(ours, erm)
    assert difference.value > 3 * difference.stderr


def test_a_search_of_another_method_is_not_compared_with_erm(tmp_path, capsys):
    """Its first trial has no dropout either, but it is not plain training."""
    method = ["method=noise_injection", "method.sigma=interval(0,1)"]
    search(tmp_path / "s", *SMALL, *method, "hydra.sweeper.n_trials=2")
    assert {"method.sigma", "model.dropout"} == set(results(tmp_path / "s")["best_params"])
    shown = capsys.readouterr().out
    assert "ERM" not in shown
    assert "trial 0" in shown


def test_the_command_names_where_configs_lie_and_keeps_lists(tmp_path, capsys):
    """A list of names looks like markup to what prints it."""
    folder = tmp_path / ".hydra"
    folder.mkdir()
    place, sites = "hydra.searchpath=[file:///home/me/conf]", "model.sites=[stage1,head]"
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["model=mine", sites]))
    settings = {"hydra": {"overrides": {"hydra": [place, "hydra.sweep.dir=s"]}}}
    (folder / "hydra.yaml").write_text(yaml.safe_dump(settings))
    command = retrain_command(tmp_path)
    assert shlex.split(command) == ["python", "train.py", place, "model=mine", sites]
    show(command)
    assert capsys.readouterr().out.strip() == command
