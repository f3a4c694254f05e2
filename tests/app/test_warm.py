"""A training that starts from another's weights."""

import pytest
import torch
import yaml

from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.app.train import fitted
from bayesft.methods.checkpoint import read_state
from tests.helpers.app import SMALL, composed, search
from tests.helpers.sweeps import events, results


def test_it_starts_where_the_other_ended_and_is_shorter(tmp_path):
    with fitted(composed(tmp_path / "first", *SMALL)) as run:
        run.trainer.save_checkpoint(tmp_path / "first" / "weights.ckpt", weights_only=True)
        initial = fitted_weights(tmp_path / "none", "optimizer.lr=0.0")
        weights = read_state(tmp_path / "first" / "weights.ckpt")
    warm = [f"warm_start.folder='{tmp_path / 'first'}'", "warm_start.keep_weights=0.25"]
    settings = ["trainer.max_epochs=5", "optimizer.lr=0.0"]
    with fitted(composed(tmp_path / "warm", *SMALL, *warm, *settings)) as run:
        assert run.trainer.current_epoch == 2
        for name, value in run.module.named_parameters():
            torch.testing.assert_close(value.data, 0.25 * weights[name] + 0.75 * initial[name])
    with fitted(composed(tmp_path / "two", *SMALL, *warm, "warm_start.epochs=1")) as run:
        assert run.trainer.current_epoch == 1
    # What was asked for, not what came of it.
    assert (
        yaml.safe_load((tmp_path / "warm" / "config.yaml").read_text())["trainer"]["max_epochs"]
        == 5
    )


def fitted_weights(folder, *overrides):
    with fitted(composed(folder, *SMALL, *overrides)) as run:
        return {name: value.detach().clone() for name, value in run.module.named_parameters()}


def test_a_search_with_warm_starts(tmp_path):
    search(
        tmp_path,
        *SMALL,
        "trainer.max_epochs=5",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.n_initial=2",
        "hydra.sweeper.warm_start=true",
    )
    assert results(tmp_path)["num_failed"] == 0
    asked = events(tmp_path, "ask")
    assert [event.get("source") is not None for event in asked] == [False, False, True, True]
    for event in asked:
        cfg = yaml.safe_load((tmp_path / str(event["number"]) / "config.yaml").read_text())
        source = event.get("source")
        expected = None if source is None else str(tmp_path / str(source))
        assert cfg["warm_start"]["folder"] == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["warm_start.folder=nowhere"], "`warm_start.folder` is nowhere, which has no weights"),
        (["warm_start.folder=x", "ckpt_path=y"], "starts from one of them"),
        (["warm_start.folder=x", "warm_start.epochs=1.5"], "warm_start.epochs.*got 1.5"),
        (["warm_start.folder=x", "warm_start.keep_weights=2"], "keep_weights.*got 2"),
        (["warm_start.folder=x", "trainer.max_epochs=null"], "max_epochs, which is None"),
        (["warm_start.folder=x", "method=rescue"], "Rescue freezes weights, .*keep_weights=1"),
    ],
)
def test_what_cannot_be_started_from(tmp_path, overrides, message):
    with pytest.raises(CommandError, match=message):
        train(composed(tmp_path / "run", *SMALL, *overrides))
