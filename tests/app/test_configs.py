"""Every option of every config group composes, and what it names can be made."""

import pytest
from omegaconf import OmegaConf

from bayesft.app.build import build_data, build_drift, build_module, build_trainer
from bayesft.app.checks import check
from bayesft.methods import ERM
from tests.helpers.app import CONF, ROOT, composed
from tests.helpers.archives import write_images

OPTIONS = sorted(
    f"{path.parent.relative_to(CONF)}={path.stem}"
    for path in (ROOT / "conf").glob("*/*.yaml")
    if path.parent.name not in ("hydra", "experiment", "paths", "evaluation")
)

DETECTION = (
    "data=digits_detection",
    "data=penn_fudan",
    "model=faster_rcnn",
    "model=retinanet",
    "task=detection",
)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["train", "search"])
def test_every_option_can_be_made(tmp_path, monkeypatch, option, name):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    # The other networks need larger images than digits has, and torchvision's coloured ones.
    other = option.startswith("model=") and option != "model=mlp"
    extra = ["data.image_size=32", "data.channels=3"] if other else []
    if option in DETECTION:
        # Boxes and detectors go together.
        together = "data=digits_detection", "model=faster_rcnn", "model.backbone=small"
        group = option.partition("=")[0]
        extra = [each for each in together if each.partition("=")[0] != group]
    if option == "data=folder":
        extra = [f"data.root='{write_images(tmp_path / 'images')}'"]
    if option == "drift=measured":
        cells = [f"{k / 50},{k / 50 + 0.01}" for k in range(1, 51)]
        (tmp_path / "cells.csv").write_text("\n".join(["written,read", *cells]))
        extra = [f"drift.file='{tmp_path / 'cells.csv'}'", "drift.pairs=true"]
    cfg = composed(tmp_path, option, *extra, name=name)
    check(cfg)
    build_data(cfg)
    build_drift(cfg)
    assert isinstance(build_module(cfg), ERM)
    trainer = build_trainer(cfg)
    assert trainer.max_epochs == 30
    for logger in trainer.loggers:
        getattr(logger, "close", bool)()
    assert all(
        "$" not in str(value) for value in OmegaConf.to_container(cfg, resolve=True).values()
    )


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")))
def test_every_experiment_composes(tmp_path, path):
    check(composed(tmp_path, f"experiment={path.stem}", name="search"))


def test_the_table_of_the_readme_composes(tmp_path):
    cfg = composed(
        tmp_path,
        "model=lenet5",
        "data=mnist",
        "model.dropout=[0.2,0.2,0.5,0.5,0]",
        "trainer.max_epochs=10",
        "logger=wandb",
    )
    assert build_module(cfg).dropout == (0.2, 0.2, 0.5, 0.5, 0.0)
    assert build_data(cfg).image_size == 28


@pytest.mark.parametrize(
    ("dropout", "vector"),
    [("0.25", (0.25,) * 3), ("[0.1,0.2,0.3]", (0.1, 0.2, 0.3)), ("{fc2:0.5}", (0.0, 0.5, 0.0))],
)
def test_rates_in_every_form(tmp_path, dropout, vector):
    assert build_module(composed(tmp_path, f"model.dropout={dropout}")).dropout == vector


def test_nothing_that_a_trial_computes_differs_between_train_and_search(tmp_path):
    """Or the command that trains the best trial again would train another network."""
    train, search = (
        OmegaConf.to_container(composed(tmp_path, name=name), resolve=True)
        for name in ("train", "search")
    )
    for cfg in (train, search):
        cfg["trainer"].pop("enable_progress_bar")
    search.pop("vectors")
    search.pop("returns")
    assert train == search


@pytest.mark.parametrize("name", ["train", "search"])
def test_a_drift_can_choose_the_strengths(tmp_path, name):
    """And the command line has the last word."""

    def sigmas(*overrides: str) -> list[float]:
        return composed(tmp_path, *overrides, name=name).evaluation.sigmas

    assert max(sigmas()) == 1.5
    assert sigmas("drift=stuck_at") == [0.02, 0.05, 0.1, 0.2]
    assert sigmas("drift=additive") == [0.05, 0.1, 0.2, 0.3]
    assert sigmas("drift=pcm") == [1, 2, 3, 4]
    assert sigmas("drift=measured") == [0.5, 1, 1.5, 2]
    assert sigmas("drift=stuck_at", "experiment=compare", "contender=bayesft") == [
        0.02, 0.05, 0.1, 0.2,
    ]  # fmt: skip
    assert sigmas("drift=stuck_at", "evaluation.sigmas=[0.3]") == [0.3]
    for drift in ("stuck_at", "additive", "pcm", "measured"):
        for method in ("noise_injection", "reram_v"):
            cfg = composed(tmp_path, f"drift={drift}", f"method={method}", name=name)
            assert cfg.method.sigma in cfg.evaluation.sigmas
    cfg = composed(tmp_path, "drift=stuck_at", "method=rescue", name=name)
    assert cfg.method.sigma in cfg.evaluation.sigmas
    assert max(sigmas("drift=stuck_at", "evaluation=default")) == 1.5


def test_both_searches_look_for_rates_in_the_same_place(tmp_path):
    cfg = composed(tmp_path, "experiment=[compare,detection]", "contender=bayesft", name="search")
    inside, across = cfg.callbacks.dropout_search, cfg.vectors["model.dropout"]
    assert (inside.low, inside.high) == (across.low, across.high) == (0.0, 0.4)


def test_a_search_while_training_joins_the_callbacks_that_there_are(tmp_path):
    plain = composed(tmp_path, "experiment=detection").callbacks
    cfg = composed(tmp_path, "experiment=[compare,detection]", "contender=bayesft")
    assert set(cfg.callbacks) - set(plain) == {"dropout_search"}
    inside = cfg.callbacks.dropout_search
    assert (inside.draws, inside.images_per_draw) == (10, 32)


def test_one_backend_is_for_every_measuring(tmp_path):
    cfg = composed(tmp_path, "experiment=alternating", "evaluation.backend=vmap")
    assert cfg.callbacks.dropout_search.backend == "vmap"
    assert cfg.callbacks.drift_evaluation.backend == "vmap"
