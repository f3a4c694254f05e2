"""A search's result as a contender: what is written, and that it trains what was found."""

import shlex
import shutil
import sys

import pytest
import yaml

from bayesft.app.contender import compare_command, found_contender, write_contender
from bayesft.contender import main
from bayesft.errors import SettingError
from bayesft.report.compare.runs import read_comparison
from bayesft.report.results import ALTERNATING, RESULTS
from bayesft.robustness import Curve
from tests.app.test_compare import sweep
from tests.helpers.app import SMALL, composed, search


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished search of rates, method, optimizer and more."""
    folder = tmp_path_factory.mktemp("search") / "s"
    search(
        folder, *SMALL, "method=noise_injection", "method.ramp=0.5",
        "method.sigma=interval(0.2,0.9)", "optimizer=adamw",
        "optimizer.lr=tag(log,interval(1e-3,3e-2))", "data.val_size=300,360",
        "hydra.sweeper.n_trials=3",
    )  # fmt: skip
    return folder


@pytest.fixture
def conf(tmp_path):
    """A folder of configs of one's own."""
    folder = tmp_path / "conf"
    folder.mkdir()
    return folder


def changed(searched, tmp_path, **results):
    """Return a search's folder with other results, its trials where they were."""
    folder = tmp_path / "other"
    folder.mkdir()
    content = yaml.safe_load((searched / RESULTS).read_text())
    content["best_folder"] = str(searched / content["best_folder"])
    (folder / RESULTS).write_text(yaml.safe_dump(content | results))
    return folder


def test_it_trains_the_network_that_was_found(searched, tmp_path, conf):
    """Same seed, length and data: the curve is that of the search's best trial, to the bit."""
    path, _ = write_contender(searched, "found", conf)
    assert path == conf / "contender" / "found.yaml"
    results = yaml.safe_load((searched / RESULTS).read_text())
    best = searched / results["best_folder"]
    size = results["best_params"]["data.val_size"]
    folder = tmp_path / "c"
    sweep(
        folder, "contender=erm,found", "seed=0", f"hydra.searchpath=[file://{conf}]",
        f"data.val_size={size}",
    )  # fmt: skip
    run = folder / "found" / "seed-0"
    ours, theirs = (Curve.from_json(each / "test_curve.json") for each in (run, best))
    assert ours.scores == theirs.scores
    assert ours.scores != Curve.from_json(folder / "erm" / "seed-0" / "test_curve.json").scores
    config = yaml.safe_load((run / "config.yaml").read_text())
    params = results["best_params"]
    assert config["model"]["dropout"] == params["model.dropout"]
    assert config["method"]["_target_"] == "bayesft.methods.NoiseInjection"
    assert (config["method"]["sigma"], config["method"]["ramp"]) == (params["method.sigma"], 0.5)
    assert config["optimizer"]["lr"] == config["scheduler"]["max_lr"] == params["optimizer.lr"]
    assert config["found"]["trial"] == results["best_trial"]
    # The search tuned on other chips than those of the test, and the report sees that.
    assert config["found"]["objective_seed"] == config["evaluation"]["objective"]["seed"]
    assert read_comparison(folder).left_out == ()
    erm = yaml.safe_load((folder / "erm" / "seed-0" / "config.yaml").read_text())
    assert "found" not in erm


def test_what_a_comparison_has_the_same_for_all_is_left_out_and_in_the_command(searched):
    found = found_contender(searched)
    assert found.left_out == {"data.val_size": found.searched["data.val_size"]}
    assert "data" not in found.config
    command = compare_command("mine", found)
    assert "contender=erm,mine" in command
    assert "model=mlp data=digits" in command
    assert "'model.hidden=[16]'" in command
    assert "data.batch_size=256" in command
    # The search's trainings had seed 0, and one was chosen.
    assert command.endswith(" trainer.max_epochs=2 seed=1,2,3")
    assert " optimizer=adamw " in command
    for word in ("val_size", "method", "optimizer.lr", "model.dropout"):
        assert word not in command


def test_plain_training_has_the_optimizer_that_was_not_searched(searched, tmp_path, conf):
    path, _ = write_contender(searched, "mine", conf)
    content = yaml.safe_load(path.read_text())
    content["optimizer"]["lr"] = 0.0123
    path.write_text(f"# @package _global_\n{yaml.safe_dump(content)}")
    typed = shlex.split(compare_command("mine", found_contender(searched)))[3:]
    overrides = [each for each in typed if not each.startswith(("contender=", "seed="))]
    place = f"hydra.searchpath=[file://{conf}]"
    erm, mine = (
        composed(tmp_path, place, *overrides, f"contender={name}").optimizer
        for name in ("erm", "mine")
    )
    assert erm._target_ == mine._target_ == "torch.optim.AdamW"
    assert (erm.lr, mine.lr) == (0.01, 0.0123)


def test_a_search_s_experiment_is_in_the_command(searched, tmp_path):
    """Or the network and the strengths that it sets would be the groups' own."""
    other = changed(searched, tmp_path, best_folder="7")
    best = yaml.safe_load((searched / RESULTS).read_text())["best_folder"]
    shutil.copytree(searched / best / ".hydra", other / "7" / ".hydra")
    (other / "7" / ".hydra" / "overrides.yaml").write_text("[experiment=detection, seed=1]")
    command = shlex.split(compare_command("mine", found_contender(other)))
    [experiment] = [each for each in command if each.startswith("experiment=")]
    cfg = composed(tmp_path, experiment, "contender=erm")
    assert (cfg.model.backbone, cfg.evaluation.sigmas[0]) == ("small", 0.1)
    assert cfg.comparison.baseline == "erm"
    # A search inside a training is the way that it trains.
    results = yaml.safe_load((other / RESULTS).read_text())
    (other / RESULTS).write_text(yaml.safe_dump(results | {"kind": ALTERNATING, "insight": {}}))
    assert "experiment=compare" in compare_command("mine", found_contender(other))


def test_the_file_says_where_it_comes_from(searched):
    text = found_contender(searched).text
    first, source = text.splitlines()[:2]
    assert first == "# @package _global_"
    assert source.startswith(f"# Trial {found_contender(searched).config['found']['trial']} of the")
    assert str(searched) in source
    assert yaml.safe_load(text) == found_contender(searched).config


def test_what_was_searched_beside_the_way_to_train(searched, tmp_path):
    """A part of the network goes in; a choice of data does not; a choice of method is one."""
    params = {"model.dropout": 0.1, "model.norm": "batch", "data": "mnist", "method": "erm"}
    found = found_contender(changed(searched, tmp_path, best_params=params))
    assert found.config["model"]["norm"] == "none"  # as the trial had it
    assert found.left_out == {"data": "mnist"}


def test_the_rates_of_an_alternating_search(tmp_path, conf):
    folder = tmp_path / "c"
    sweep(folder, "contender=bayesft_noise", "seed=0", "trainer.max_epochs=20")
    run = folder / "bayesft_noise" / "seed-0"
    write_contender(run, "rates", conf)
    rates = yaml.safe_load((run / RESULTS).read_text())["best_params"]["model.dropout"]
    cfg = composed(tmp_path, f"hydra.searchpath=[file://{conf}]", "contender=rates")
    assert cfg.model.dropout == rates
    assert cfg.method._target_ == "bayesft.methods.NoiseInjection"
    # Rates that stay as they are need neither the search nor its schedule.
    assert "dropout_search" not in cfg.callbacks
    assert cfg.scheduler._target_.endswith("OneCycleLR")
    assert cfg.callbacks.model_checkpoint.monitor == "val/drift_acc"


def test_a_trial_that_started_warm_is_told(searched, tmp_path):
    other = changed(searched, tmp_path, best_folder="7")
    best = yaml.safe_load((searched / RESULTS).read_text())["best_folder"]
    shutil.copytree(searched / best / ".hydra", other / "7" / ".hydra")
    assert "another trial's weights" not in found_contender(other).source
    config = other / "7" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("folder: null", "folder: elsewhere", 1))
    assert "It started from another trial's weights" in found_contender(other).source


def test_a_constraint_that_no_trial_keeps_to_is_told(searched, tmp_path):
    other = changed(searched, tmp_path, best_feasible=False, constraints=["clean_accuracy >= 0.99"])
    assert "does not keep to clean_accuracy >= 0.99" in found_contender(other).source


@pytest.mark.parametrize(
    ("name", "words"), [("a b", "begin with a letter"), ("1", "letter"), ("erm", "already")]
)
def test_names_that_cannot_be(searched, conf, name, words):
    (conf / "contender").mkdir()
    (conf / "contender" / "erm.yaml").write_text("mine")
    with pytest.raises(SettingError, match=words):
        write_contender(searched, name, conf)
    assert (conf / "contender" / "erm.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda f: f.rmdir(), "There is no folder .*Expected the folder of a search"),
        (lambda f: None, f"holds no search: there is no {RESULTS}"),
        (lambda f: (f / "journal.jsonl").write_text(""), "has not ended.*hydra.sweep.dir="),
        (lambda f: (f / RESULTS).write_text("best_folder: null"), "No trial .* has a value"),
        (lambda f: (f / RESULTS).write_text("{"), "cannot be read"),
        (
            lambda f: (f / RESULTS).write_text(
                "{kind: alternating, best_folder: ., best_params: {model.dropout: [0.1]}}"
            ),
            "has not ended.*hydra.run.dir=.* resume=true",
        ),
        (
            lambda f: (f / RESULTS).write_text("{best_folder: '7', best_params: {x: 1}}"),
            "settings of the best trial, .*7/.hydra, cannot be read",
        ),
    ],
)
def test_folders_without_a_result(tmp_path, conf, prepare, words):
    folder = tmp_path / "s"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(SettingError, match=words):
        write_contender(folder, "mine", conf)
    assert not (conf / "contender").exists()


def test_the_command(searched, tmp_path, conf, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["contender", str(searched), "mine", "--conf", str(conf)])
    main()
    shown = capsys.readouterr().out
    assert f"{conf / 'contender' / 'mine.yaml'}: Trial " in shown
    assert "method.sigma=" in shown
    assert "Left out: data.val_size=" in shown
    assert "python train.py -m experiment=compare contender=erm,mine" in shown
    monkeypatch.chdir(tmp_path / "conf")
    monkeypatch.setattr(sys, "argv", ["contender", str(searched), "mine"])
    with pytest.raises(SystemExit, match=r"There is no folder conf\. Run this beside train\.py"):
        main()
