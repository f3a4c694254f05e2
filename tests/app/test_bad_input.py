"""What bad input gets: the setting, what was expected, what came, what to do; and nothing runs."""

import os
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from hydra.errors import HydraException

from bayesft.app import search as run_trial
from bayesft.app import site_names, train
from bayesft.app.errors import CommandError
from tests.helpers.app import ROOT, SMALL, composed, search

TABLE = [
    (["rates.start=0.1"], r"`rates.start` to be a list of first trials.*but got 0.1"),
    (["rates.start=[[0,0.1]]"], r"`rates.start` to be a list of first trials"),
    (["model.dropout=[0.1]"], r"`model.dropout` to have 2 rates.*fc1, fc2.*got 1: \[0.1\]"),
    (["model.dropout=1.0"], r"in \[0, 1\), but got 1.0"),
    (["model.dropout=[-0.1,0]"], r"rate of fc1 to be a number in \[0, 1\), but got -0.1"),
    (["model.dropout={fc9:0.1}"], r"the site 'fc9'; the sites are fc1, fc2"),
    (["model.dropout=high"], "but got 'high'"),
    (["model.activation=swish"], r"`model.activation` to be one of relu.*'swish'"),
    (["model.norm=spectral"], r"`model.norm` to be one of none.*'spectral'"),
    (["model.hidden=[0]"], r"integers of at least 1.*`model.hidden`"),
    (["evaluation.sigmas=[0.3,-0.1]"], "`sigma` to be a finite number.*-0.1"),
    (["evaluation.sigmas=[]"], "`evaluation.sigmas`"),
    (["evaluation.validation.draws=0"], "`evaluation.validation.draws`.*at least 1, but got 0"),
    (["evaluation.test.draws=0"], "`evaluation.test.draws`"),
    (["evaluation.objective.images_per_draw=null"], "`evaluation.objective.images_per_draw`"),
    (
        ["evaluation.objective.target_stderr=-1"],
        "`evaluation.objective.target_stderr`.*above 0.*-1",
    ),
    (["evaluation.trial.draws=0"], "`evaluation.trial.draws`.*at least 1, but got 0"),
    (["callbacks.drift_evaluation.backend=fast"], "`backend` to be one of auto.*'fast'"),
    (["evaluation.backend=fast", "callbacks=none"], "`evaluation.backend` to be .*auto.*'fast'"),
    (
        ["contender=bayesft", "callbacks=none"],
        r"callbacks.model_checkpoint to have a `_target_`.*'last_epoch'.*model_checkpoint=null",
    ),
    (["evaluation.test.seed=1"], r"evaluation.\*.seed to differ"),
    (
        ["contender=bayesft", "callbacks.dropout_search.seed=3"],
        r"callbacks.dropout_search.seed to differ from evaluation.test.seed.*both are 3",
    ),
    (
        ["method=noise_injection", "method.chip_seed=3"],
        r"method.chip_seed to be none of evaluation.\*.seed.*but got 3",
    ),
    (["method=reram_v", "method.chip_seed=1"], r"method.chip_seed.*but got 1"),
    (["method=rescue", "method.faults='${drift}'"], r"`method.faults`.*LogNormalDrift"),
    (["method=rescue", "method.sigma=2"], r"`sigma` to be from 0 to 1, but got 2"),
    (
        ["drift=stuck_at", "evaluation=default"],
        r"`sigma` to be from 0 to 1, but got 1.2.*evaluation.sigmas=\[0.02",
    ),
    (["drift=stuck_at", "evaluation.test.sigmas=[2]"], "`sigma` to be from 0 to 1, but got 2"),
    (["drift=pcm", "drift.time=1"], r"`time` to be at least 20, but got 1.*drift.time=86400"),
    (["drift=measured"], r"`drift.file` is not set.*drift.file=cells.csv.*`written` and `read`"),
    (["drift=measured", "drift.file=no.csv"], r"no.csv cannot be read.*No such file"),
    (["drift=additive", "evaluation.sigmas=[-1]"], r"`sigma`.*-1.*layer's largest weight"),
    (["drift=stuck_at", "drift.stuck_off=2"], "`stuck_off` to be a number from 0 to 1.*2"),
    (["drift.target=conv"], r"`drift.target` to be one of all, crossbar, but got 'conv'"),
    (["data.val_size=5000"], r"`data.val_size` to be smaller than the 1347.*5000"),
    (["data.batch_size=0"], "`data.batch_size`"),
    (["data.num_classes=5"], "`data.num_classes` is 5"),
    (["seed=-1"], "`seed`.*-1"),
    (["callbacks.drift_evaluation.every_n_epochs=0"], "`every_n_epochs`"),
    (["model=lenet5"], r"at least 12×12.*`model.image_size` is 8"),
    (["model=vgg11", "data.image_size=28"], r"at least 32×32.*`model.image_size` is 28"),
    (["model=torchvision", "model.name=resnet19"], r"'resnet19'.*Did you mean resnet18"),
    (["model=torchvision"], r"ResNet cannot take images of 1×8×8.*data.channels=3"),
    (
        ["model=torchvision", "model.name=alexnet", "data.channels=3"],
        r"AlexNet cannot take images of 3×8×8.*data.image_size=224",
    ),
    (
        ["model=vgg11", "data.image_size=32", "model.sites=layer"],
        r"`model.sites` to be own, block, stage.*'layer'",
    ),
    (
        ["model=preact_resnet18", "data.image_size=8", "model.sites=[stage9]"],
        r"'stage9'.*Did you mean stage4",
    ),
    (["data=mnist"], r"MNIST is not usable.*paths.data_dir"),
    (["data=fashion_mnist"], r"Fashion-MNIST is not usable.*paths.data_dir"),
    (["data=cifar10"], r"CIFAR-10 is not usable.*paths.data_dir"),
    (["data=gtsrb"], r"GTSRB is not usable.*paths.data_dir"),
    (["data=folder"], r"^`data.root` is not set.*data.root=<folder>"),
    (["data=folder", "data.root=nowhere"], r"^There is no folder nowhere.*data.root=<folder>"),
    (["data.val_size=1.5"], r"`data.val_size`.*between 0.0 and 1.0, but got 1.5"),
    (["data.mean=[0.1,0.2]"], r"`data.mean` to be a number.*but got \[0.1, 0.2\]"),
    (["data.std=0"], "`data.std` to be larger than 0, but got 0.0"),
    (["data.channels=2"], "`data.channels` to be 1 or 3, but got 2"),
    (["data.augment=[flip]"], r"`data.augment` to be null or a list of transforms.*'flip'"),
    (["data.num_workers=-1"], "`data.num_workers`.*at least 0, but got -1"),
    (["data.pin_memory=maybe"], "`data.pin_memory` to be null, true or false, but got 'maybe'"),
    (["ckpt_path=nowhere.ckpt"], "There is no checkpoint at nowhere.ckpt"),
    (["trainer.max_epochs=-1"], "trainer.max_epochs"),
    (["trainer.max_epochs=two"], r"`trainer.max_epochs` to be an integer, but got 'two'"),
    (["+trainer.max_step=9"], r"`trainer` cannot be made.*'max_step'.*pytorch_lightning.Trainer"),
    (["trainer.accelerator=gpus"], r"`trainer` cannot be made.*'accelerator': 'gpus'"),
    (["optimizer.lr=-1"], r"`optimizer` cannot be made.*learning rate: -1.*'lr': -1"),
    (["optimizer.lr=fast"], r"`optimizer` cannot be made.*'lr': 'fast'"),
]


def without_sites(**settings):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def test_a_search_of_something_else_tells_that_there_are_no_rates(tmp_path, caplog):
    overrides = ["model._target_=tests.app.test_bad_input.without_sites", "model.sites=own"]
    cfg = composed(tmp_path, *small(overrides), *overrides, name="search")
    assert not site_names(cfg)
    assert "Sequential has no dropout site" in caplog.text
    assert "model.sites=block" in caplog.text


def small(overrides):
    """The small training's settings, without those that `overrides` give."""
    keys = {each.split("=")[0].lstrip("~") for each in overrides}
    # The multi-layer perceptron's own settings are none of other networks'.
    other = "model" in keys or "model._target_" in keys
    kept = [s for s in SMALL if s.split("=")[0] not in keys]
    return [s for s in kept if not (other and s.startswith("model."))]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    # torchvision makes the folder that it then cannot fill.
    monkeypatch.chdir(tmp_path)

    def refused(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refused)


@pytest.mark.parametrize(("overrides", "message"), TABLE)
@pytest.mark.parametrize("command", [train, run_trial])
def test_a_training_is_refused_in_one_message(tmp_path, command, overrides, message):
    cfg = composed(tmp_path / "run", *small(overrides), *overrides)
    with pytest.raises(HydraException, match=message):
        command(cfg)
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_a_checkpoint_of_another_network(tmp_path):
    train(composed(tmp_path / "a", *SMALL))
    ckpt = f"ckpt_path='{tmp_path / 'a' / 'checkpoints' / 'last.ckpt'}'"
    cfg = composed(
        tmp_path / "b", *[s for s in SMALL if "hidden" not in s], ckpt, "model.hidden=[8]"
    )
    with pytest.raises(HydraException, match=r"another network.*\n.*\(16, 64\) in the checkpoint"):
        train(cfg)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.activation=swish"], "`model.activation`"),
        (["data=mnist", "paths.data_dir=nowhere"], "MNIST is not usable"),
        (["data=folder"], "`data.root` is not set"),
        (["evaluation.sigmas=[-1]"], "`sigma`"),
        (["evaluation.sigmas=0.3"], r"`evaluation.sigmas` to be a list.*but got 0.3"),
        (["rates.high=1"], r"0 <= low < high < 1, but got 0.0 and 1"),
        (["rates.start=[0.9]"], r"`rates.start` to lie between .*rates.high=0.8, but got 0.9"),
        (["data._target_=builtins.dict"], r"data._target_=builtins.dict makes a dict"),
        (
            ["data._target_=tests.app.test_bad_input.Untested"],
            r"Untested has no `test_dataloader`",
        ),
        (["evaluation.test.seed=2"], r"evaluation.\*.seed"),
        (["evaluation.test.seed=abc"], r"evaluation.test.seed to be an integer.*'abc'"),
        (
            ["model=mlp,lenet5", "data.image_size=16"],
            r"model.dropout has other elements with model=lenet5.*\[conv1\].*for.*\[fc1\]",
        ),
        (
            ["method=noise_injection", "method.chip_seed=3"],
            r"method.chip_seed to be none of evaluation.\*.seed.*but got 3",
        ),
        (["drift.target=conv"], "`drift.target`"),
        (
            ["model._target_=tests.app.test_bad_input.without_sites", "model.sites=own"],
            "nothing to search: model.dropout has no elements",
        ),
        (
            ["hydra.sweeper.constraints=['clean_acuracy >= 0.9']"],
            "no trial returns 'clean_acuracy'. Expected one of clean_accuracy",
        ),
        (
            ["hydra.sweeper.returns=no.such"],
            r"hydra.sweeper.returns to be the path of a function.*but got no.such: ",
        ),
    ],
)
def test_a_search_is_refused_before_its_first_trial(tmp_path, overrides, message):
    with pytest.raises(HydraException, match=message):
        search(tmp_path / "s", *small(overrides), *overrides)
    assert not (tmp_path / "s" / "0").exists()


class Untested(pl.LightningDataModule):
    def __init__(self, **settings):
        super().__init__()

    def train_dataloader(self):
        return []

    def val_dataloader(self):
        return []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "nowhere.Net",
            r"target 'nowhere.Net': ModuleNotFoundError: No module named 'nowhere'. Is",
        ),
        ("tests.app.test_bad_input.opens", r"FileNotFoundError: .*No such file.*weights.pt"),
        ("tests.app.test_bad_input.Nowhere", r"target 'tests.app.test_bad_input.Nowhere': \w+"),
    ],
)
def test_what_a_network_of_ones_own_says_is_told(tmp_path, target, words):
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {"_target_": target}
    with pytest.raises(CommandError, match=words):
        train(cfg)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, r"`model` to have a `_target_`.*but got {}.*model=lenet5"),
        ({"width": 8}, r"`model` to have a `_target_`.*but got {'width': 8}"),
        ({"_target_": "builtins.list"}, r"torch.nn.Module, but model._target_=.*makes a list"),
        ({"_target_": "builtins.int"}, r"torch.nn.Module, but model._target_=.*makes a int"),
    ],
)
def test_what_is_no_network_is_told(tmp_path, model, words):
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {**model, "sites": None, "dropout": 0.1}
    with pytest.raises(CommandError, match=words):
        train(cfg)


class Plain(pl.LightningModule):
    """Trains itself, as a tutorial has it."""

    def __init__(self, model=None):
        super().__init__()
        self.layers = without_sites()

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch):
        raise AssertionError

    def configure_optimizers(self):
        raise AssertionError


class Other(Plain):
    def __init__(self, model, *, task, optimizer, scheduler):
        super().__init__()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["method._target_=tests.app.test_bad_input.Plain"],
            r"Plain does not take the network and task, optimizer, scheduler .*'task'.*derives "
            "from bayesft.methods.ERM",
        ),
        (
            ["method._target_=tests.app.test_bad_input.Other"],
            r"`method` to be a bayesft.methods.ERM, but .* makes a Other. A method derives",
        ),
        (["+method.ramp=3"], r"ERM does not take .*'ramp'.*Correct its config"),
        (["~method._target_"], r"`method` to have a `_target_`.*method=erm"),
    ],
)
def test_what_is_no_method_is_told(tmp_path, overrides, words):
    with pytest.raises(CommandError, match=words):
        train(composed(tmp_path / "run", *SMALL, *overrides))


def test_a_network_that_would_train_itself_is_told_that_it_does_not(tmp_path, caplog):
    cfg = composed(tmp_path / "run", *SMALL, "trainer.max_epochs=1")
    cfg.model = {"_target_": "tests.app.test_bad_input.Plain", "sites": "own"}
    with caplog.at_level("INFO"):
        train(cfg)
    told = "its training_step, configure_optimizers are not called, for it is trained by bayesft"
    assert caplog.text.count(told) == 1


def frozen():
    return without_sites().requires_grad_(False)


def test_a_frozen_network_is_only_measured(tmp_path):
    cfg = composed(tmp_path / "run", *SMALL)
    cfg.model = {"_target_": "tests.app.test_bad_input.frozen", "sites": "own"}
    with pytest.raises(CommandError, match=r"nothing to train.*Sequential.*trainer.max_epochs=0"):
        train(cfg)
    cfg.trainer.max_epochs = 0
    assert 0 <= train(cfg) <= 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model._target_=5", r"^Expected `model._target_` .*but got 5, which is of type int"),
        ("model._target_=math.pi", r"`model._target_` .*but got 'math.pi', which is of type float"),
        ("data._target_=string.digits", r"`data._target_` .*but got 'string.digits', which .* str"),
        ("optimizer._target_=math.pi", r"^Expected `optimizer._target_` .*but got 'math.pi'"),
        ("drift._target_=math.pi", r"^Expected `drift._target_` .*but got 'math.pi'"),
        ("callbacks.model_checkpoint._target_=math.pi", r"`callbacks.model_checkpoint._target_`"),
    ],
)
def test_a_target_that_cannot_be_called_is_named(tmp_path, override, words):
    with pytest.raises(CommandError, match=words):
        train(composed(tmp_path / "run", *SMALL, override))


def opens():
    return open("weights.pt")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train.py", "model.dropout=[0.1]"], ["`model.dropout`", "3 rates"]),
        (["train.py", "model=resnet9"], ["resnet9", "lenet5", "mlp"]),
        (["train.py", "data=imagenet"], ["imagenet", "digits", "mnist"]),
        (["train.py", "modle=mlp"], ["modle"]),
        (["train.py", "data=folder"], ["`data.root` is not set", "data.root=<folder>"]),
        (["search.py", "-m", "hydra/sweeper=bayes"], ["hydra/sweeper", "bayesft"]),
        (
            ["train.py", "hydra.run.dir=config.txt/run"],
            ["config.txt/run", "hydra.run.dir=<folder>"],
        ),
        (["search.py", "-m", "hydra.sweep.dir=config.txt/s"], ["hydra.sweep.dir=<folder>"]),
        (["search.py", "-m", "model.dropout=[2,2,2]", "optimizer.lr=interval(0,1)"], ["[0, 1)"]),
        (
            ["train.py", "experiment=factors", "factor={dropout:dropot}"],
            [
                "`model.dropout` is ${",
                "no `dropouts.dropot`. Expected one of none, dropout, alpha.",
            ],
        ),
        (["train.py", "optimizer.lr=${learning.rate}"], ["`optimizer.lr`", "no `learning`."]),
    ],
)
def test_the_commands_end_with_a_status_and_without_a_traceback(tmp_path, arguments, words):
    (tmp_path / "config.txt").write_text("a file where a folder is asked for")
    script, *rest = arguments
    run = subprocess.run(
        [sys.executable, str(ROOT / script), *rest],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    for word in words:
        assert word in run.stderr
    # OmegaConf's own words on the same would only be noise.
    assert "resolving interpolation" not in run.stderr
    assert "Interpolation key" not in run.stderr
