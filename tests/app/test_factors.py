"""The factor study, from the command line's overrides to its report."""

import shutil
import sys

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from bayesft import app
from bayesft.app.errors import CommandError
from bayesft.app.network import build_network
from bayesft.app.train import train
from bayesft.methods.checkpoint import read_state
from bayesft.report.__main__ import main
from bayesft.report.recipe import difference, recipe
from bayesft.robustness import Curve, ScoreWarning
from tests.helpers.app import CONF, SMALL, composed, train_many

STUDIES = {"factors": (3, 6, 9), "factors_lenet5": (5, 7, 9)}
TINY = (
    *SMALL, "experiment=factors", "data=digits", "trainer.max_epochs=1", "evaluation.sigmas=[0.6]",
)  # fmt: skip


def swept(name: str) -> dict[str, list[str]]:
    """Return what the study `name` sweeps: overrides by key."""
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={name}"], return_hydra_config=True)
    params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    return {
        each.key_or_group: [f"{each.key_or_group}={v}" for v in each.sweep_string_iterator()]
        for each in OverridesParser.create().parse_overrides(params)
    }


def sweep(folder, *overrides: str) -> None:
    """Run `train.py -m` with `overrides`, the report at its end included."""
    train_many(folder, *TINY, *overrides)


@pytest.fixture(scope="module", params=STUDIES)
def settings(request, tmp_path_factory):
    """The depths of a study, and the configs of its settings."""
    name, folder = request.param, tmp_path_factory.mktemp("settings")
    found = swept(name)
    assert found["seed"] == [f"seed={seed}" for seed in range(5)]
    return STUDIES[name], [composed(folder, f"experiment={name}", each) for each in found["factor"]]


def test_twelve_settings(settings):
    (depth, *deeper), configs = settings
    base, *moved = ({**cfg.factor} for cfg in configs)
    assert base == {"dropout": "none", "norm": "none", "depth": depth, "activation": "relu"}
    levels = [[(key, value) for key, value in f.items() if value != base[key]] for f in moved]
    assert levels == [
        *([("dropout", kind)] for kind in ("dropout", "alpha")),
        *([("norm", norm)] for norm in ("batch", "layer", "group", "instance")),
        *([("depth", number)] for number in deeper),
        *([("activation", name)] for name in ("elu", "gelu", "leaky_relu")),
    ]


def test_each_setting_differs_from_the_baseline_in_one_thing(settings):
    base, *moved = (OmegaConf.to_container(cfg, resolve=True) for cfg in settings[1])
    for config in moved:
        # No setting but the network's own, and of those the factor's.
        keys = {line.split(":")[0] for line in difference(recipe(config), recipe(base))}
        assert len(keys - {"model.dropout_type"}) == 1
        assert all(key.startswith("model.") for key in keys)
        assert config["seed"] == base["seed"]


def test_initial_weights_are_equal_where_the_layers_are(settings):
    """The first and the last layers of a deeper network too."""
    states = []
    for cfg in settings[1]:
        torch.manual_seed(0)
        states.append([p for p in build_network(cfg).parameters() if p.ndim > 1])
    base, *others = states
    for state in others:
        for weight in base:
            assert any(torch.equal(weight, other) for other in state)


def test_the_levels_follow_another_baseline(tmp_path):
    moved = ("baseline.activation=gelu", "factor={norm:batch}")
    model = composed(tmp_path, "experiment=factors", *moved).model
    assert (model.activation, model.norm) == ("gelu", "batch")


def test_a_level_of_no_factor_is_refused(tmp_path):
    with pytest.raises(Exception, match="Could not override 'factor'"):
        composed(tmp_path, "experiment=factors", "factor={width:3}")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of two settings and two seeds."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    sweep(folder, "factor={},{norm:batch}", "seed=0,1")
    return folder


def run_folder(study, norm: str, seed: int):
    return study / f"dropout-none_norm-{norm}_depth-3_activation-relu" / f"seed-{seed}"


def files(folder):
    """Return the content of what a run writes; Hydra writes its own each time."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*.*")
        if path.is_file() and path.parent.name != ".hydra" and path.suffix != ".log"
    }


def test_a_study_ends_with_figure_table_and_sentences(study):
    for norm in ("none", "batch"):
        for seed in (0, 1):
            config = OmegaConf.load(run_folder(study, norm, seed) / "config.yaml")
            assert (config.model.norm, config.seed) == (norm, seed)
    assert (study / "factors.png").stat().st_size > 10_000
    assert len((study / "factors.csv").read_text().splitlines()) == 3
    text = (study / "factors.txt").read_text()
    assert "norm, against none: " in text
    assert "One level alone, and so no panel: dropout, depth, activation." in text
    assert "Missing" not in text


def test_the_report_can_be_made_again(study, capsys, monkeypatch):
    before = (study / "factors.csv").read_text()
    (study / "factors.csv").write_text("")
    monkeypatch.setattr(sys, "argv", ["report", str(study)])
    main()
    assert "norm=batch" in capsys.readouterr().out
    assert (study / "factors.csv").read_text() == before


def test_a_folder_without_a_study_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=f"{tmp_path} holds no run of a comparison or a factor study. Expected"
    ):
        main()


def test_a_study_goes_on_where_it_stopped(tmp_path, capsys):
    """Of three runs one was finished, one stopped after its training, one never started."""
    folder, command = tmp_path / "study", "seed=0,1,2"
    sweep(folder, "factor={}", command)
    whole = files(folder)
    (run_folder(folder, "none", 1) / "test_curve.json").unlink()
    shutil.rmtree(run_folder(folder, "none", 2))
    capsys.readouterr()
    sweep(folder, "factor={}", command)
    assert capsys.readouterr().out.count("has been trained already") == 1
    for name in ("config.yaml", "test_curve.json", "best.ckpt", "factors.csv"):
        of_name = [path for path in whole if path.name == name]
        assert of_name
        # Checkpoints have the time of their writing in them.
        same = [p for p in of_name if p.suffix == ".ckpt" or p.read_bytes() == whole[p]]
        assert same == of_name
    finished = run_folder(folder, "none", 0)
    assert files(finished) == {p: c for p, c in whole.items() if p.is_relative_to(finished)}


def test_a_run_that_fails_leaves_the_others_and_the_report(tmp_path, capsys):
    folder = tmp_path / "study"
    with pytest.raises(SystemExit) as end:
        sweep(folder, "factor={norm:spectral},{}", "seed=0")
    assert end.value.code == 1
    assert Curve.from_json(run_folder(folder, "none", 0) / "test_curve.json")
    missing = "Missing: norm=spectral, seed 0: CommandError: Expected `model.norm` to be one"
    assert missing in (folder / "factors.txt").read_text()
    assert f"hydra.sweep.dir={folder}" in capsys.readouterr().out


def test_a_failure_is_forgotten_when_its_run_is_finished(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    with monkeypatch.context() as patch:
        patch.setattr("bayesft.data.DigitsDataModule.prepare_data", _raise)
        with pytest.raises(SystemExit):
            sweep(folder, "factor={}", "seed=0")
    assert "the disk" in (run_folder(folder, "none", 0) / "failure.yaml").read_text()
    sweep(folder, "factor={}", "seed=0")
    assert not [*folder.rglob("failure.yaml")]
    assert (folder / "factors.csv").exists()


def _raise(data):
    raise RuntimeError("the disk is full")


def test_a_single_run_of_the_study_fails_as_any_other():
    job = JobReturn(status=JobStatus.FAILED)
    job.return_value = RuntimeError("a job")
    config = OmegaConf.create({"hydra": {"job": {"num": "???"}}})
    app.FactorReport().on_job_end(config, job)
    assert job.status == JobStatus.FAILED


def test_a_network_that_learns_nothing_has_a_score_all_the_same(tmp_path):
    """At such a rate the weights become NaN."""
    cfg = composed(tmp_path / "run", *TINY, "optimizer.lr=1e30", "trainer.gradient_clip_val=null")
    with pytest.warns(ScoreWarning, match="not finite without drift"):
        assert 0 <= train(cfg) < 0.2


RESUMED = (*SMALL, "resume=true", "trainer.max_epochs=4", "+trainer.limit_train_batches=2")


def test_resume_goes_on_from_the_last_checkpoint(tmp_path, monkeypatch):
    """To the weights that the run would have had without the cut."""
    settings = (*RESUMED, "scheduler=none", "model.dropout=0.2")
    whole = train(composed(tmp_path / "whole", *settings))

    def stop(module):
        if module.current_epoch == 2:
            raise RuntimeError("the power is off")

    with monkeypatch.context() as patch:
        patch.setattr("bayesft.methods.ERM.on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="power"):
            train(composed(tmp_path / "cut", *settings))
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert train(composed(tmp_path / "cut", *settings)) == whole
    ours, theirs = (read_state(p) for p in (last, tmp_path / "whole" / "checkpoints" / "last.ckpt"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_resume_starts_again_without_a_checkpoint(tmp_path):
    score = train(composed(tmp_path / "whole", *RESUMED))
    (tmp_path / "cut").mkdir()
    shutil.copy(tmp_path / "whole" / "config.yaml", tmp_path / "cut")
    assert train(composed(tmp_path / "cut", *RESUMED)) == score


def test_resume_returns_the_score_of_a_finished_run(tmp_path):
    score = train(composed(tmp_path / "run", *RESUMED))
    before = files(tmp_path / "run")
    assert train(composed(tmp_path / "run", *RESUMED)) == pytest.approx(score)
    assert files(tmp_path / "run") == before


@pytest.mark.parametrize("finish", [True, False])
def test_resume_takes_no_run_of_other_settings(tmp_path, finish):
    train(composed(tmp_path / "run", *RESUMED))
    if not finish:
        (tmp_path / "run" / "test_curve.json").unlink()
    before = files(tmp_path / "run")
    with pytest.raises(CommandError, match=r"settings.*\n  method.optimizer.lr: 0.1, not 0.01"):
        train(composed(tmp_path / "run", *RESUMED, "optimizer.lr=0.1"))
    with pytest.raises(CommandError, match=r"other settings.*\n  seed: 1, not 0"):
        train(composed(tmp_path / "run", *RESUMED, "seed=1"))
    assert files(tmp_path / "run") == before


def test_a_torn_curve_is_measured_again(tmp_path):
    score = train(composed(tmp_path / "run", *RESUMED))
    curve = tmp_path / "run" / "test_curve.json"
    whole = curve.read_text()
    curve.write_text(whole[:100])
    assert train(composed(tmp_path / "run", *RESUMED)) == score
    assert curve.read_text() == whole
    assert Curve.from_json(curve).mean
