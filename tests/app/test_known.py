"""Settings that there are not, which Hydra takes with a + before them, are refused."""

from types import SimpleNamespace

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf

from bayesft.app import site_names, train
from bayesft.app.checks import check
from bayesft.app.known import KNOWN, TRAIN
from bayesft.errors import SettingError
from tests.helpers.app import SMALL, composed


def test_what_is_known_is_what_the_configs_have(tmp_path):
    cfg, searching = composed(tmp_path), composed(tmp_path, name="search")
    assert {*cfg} == {*TRAIN}
    assert {*searching} - {*cfg} == {"returns", "vectors"}
    for where, known in KNOWN.items():
        if where:
            assert {*OmegaConf.select(cfg, where)} == {*known}


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=factors"],
        ["experiment=factors_lenet5"],
        ["experiment=alternating"],
        ["experiment=detection"],
        ["contender=bayesft_noise"],
        ["+found={folder: outputs}"],
        ["+comparison={contender: erm}"],
    ],
)
def test_what_is_composed_of_the_configs_is_known(tmp_path, overrides):
    check(composed(tmp_path, *overrides))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+optimiser=sgd", r"^There is no setting `optimiser`.*Did you mean optimizer\?"),
        ("+seeds=3", r"^There is no setting `seeds`.*Did you mean seed\?.*refers to it: \$.seeds"),
        ("+evaluation.sigma=[5]", r"`evaluation.sigma`.*Did you mean evaluation.sigmas\?"),
        ("+evaluation.test.draw=5", r"`evaluation.test.draw`.*mean evaluation.test.draws\?"),
        ("+evaluation.trial.seed=5", r"Expected one of evaluation.trial.draws, evaluation.trial"),
        ("+rates.hi=0.5", r"no setting `rates.hi`"),
        ("+warm_start.epoch=3", r"Did you mean warm_start.epochs\?"),
        # It stands in a reference to something else.
        ("+lr=0.1", r"no setting `lr`"),
    ],
)
@pytest.mark.parametrize("command", [train, site_names])
def test_what_there_is_not_is_refused(tmp_path, command, override, words):
    with pytest.raises(HydraException, match=words):
        command(composed(tmp_path / "run", *SMALL, override))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["+width=16", "model.hidden=['${width}']"],
        ["+own={lr: 0.1}", "optimizer.lr='${own.lr}'"],
        ["+evaluation.many=9", "evaluation.test.draws='${evaluation.many}'"],
        ["+mean=0.5", "data.mean='${oc.select:mean,0.3}'"],
    ],
)
def test_a_value_that_a_setting_refers_to_is_taken(tmp_path, overrides):
    check(composed(tmp_path, *overrides))


def test_a_value_that_names_the_folder_is_taken(tmp_path, monkeypatch):
    cfg = composed(tmp_path, "+note=first")
    with pytest.raises(SettingError, match="no setting `note`"):
        check(cfg)
    hydra = OmegaConf.create({"hydra": {"run": {"dir": "outputs/${note}"}}})
    monkeypatch.setattr("bayesft.app.known.HydraConfig.initialized", lambda: True)
    holder = SimpleNamespace(cfg=hydra)
    monkeypatch.setattr("bayesft.app.known.HydraConfig.instance", lambda: holder)
    check(cfg)
